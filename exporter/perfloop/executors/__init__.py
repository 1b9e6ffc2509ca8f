"""Act: one file per executor, one line per executor in this table."""

from __future__ import annotations

EXECUTORS = ("cache", "database")
