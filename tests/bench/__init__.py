"""Benchmarks against peers: `make bench`. They are no tests; what counts in them are ratios, never times."""
