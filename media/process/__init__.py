"""Worker processes as the event loop sees them: started, spoken to, killed; and what they may use."""
