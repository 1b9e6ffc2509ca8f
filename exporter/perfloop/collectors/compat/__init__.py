"""The names of other exporters, for dashboards and rules that were written for them (`--compat`)."""
