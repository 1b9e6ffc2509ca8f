"""Composition roots: build the parts from the configuration and wire them; one file per process."""
