"""Act: one file per executor, one line per executor in this table."""

from __future__ import annotations

from perfloop.executors.cache import Cache
from perfloop.executors.database import Database

EXECUTORS = {cls.name: cls for cls in (Cache, Database)}
