"""What a channel plays as a function of time: one looping file, or a list of files."""
