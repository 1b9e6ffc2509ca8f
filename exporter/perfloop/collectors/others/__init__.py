"""What the textfile, push and benchmarks collectors have in common: files, and the families of others."""
