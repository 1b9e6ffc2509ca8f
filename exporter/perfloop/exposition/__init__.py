"""The text format of Prometheus, rendered without an object per sample, and the HTTP server that serves it."""
