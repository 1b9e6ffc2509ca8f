"""Real servers as child processes: what they are, how they are watched, and how none is left behind."""
