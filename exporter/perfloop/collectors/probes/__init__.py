"""What probes have in common: deadlines, outcomes, exchanges of bytes, trust in certificates."""
