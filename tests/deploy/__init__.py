"""The gateway behind what people put in front of it."""
