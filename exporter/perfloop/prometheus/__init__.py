"""Prometheus and Alertmanager, asked through their HTTP APIs."""
