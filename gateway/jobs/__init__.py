"""Long operations: their states, their deadlines, their records. Standard library only; knows neither HTTP nor media."""
