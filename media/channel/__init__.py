"""Files as live channels: what is on air, which chunk is due, and what changes at a join."""
