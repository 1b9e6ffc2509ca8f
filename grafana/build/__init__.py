"""The boards in source: typed, with what the catalogue says. `python -m grafana.build` writes them."""
