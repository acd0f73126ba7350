"""Long operations: their states, their deadlines, their records. Standard library only, no HTTP, no media."""
