"""Real inputs and what must happen: one test for each row of the torture list, named by the row."""
