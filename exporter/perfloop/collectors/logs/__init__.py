"""Access logs: files that are followed across rotations, their formats, their routes, and what is counted."""
