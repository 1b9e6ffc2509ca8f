"""perfloop: acts on performance alerts, proves the effect through Prometheus, and undoes what did not help."""

__version__ = "0.1.0"
