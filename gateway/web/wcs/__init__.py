"""The words of WCS 5.2 below `/rest-api`, and its statistics: what its own client, its console and old scripts call."""
