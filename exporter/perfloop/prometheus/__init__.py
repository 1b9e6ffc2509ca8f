"""Prometheus, asked through its HTTP API."""
