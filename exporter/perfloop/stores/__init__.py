"""Remember: alerts, episodes, decisions and executions, so that a restart reaches the truth."""

from perfloop.stores.sql import SqlStore

__all__ = ["SqlStore"]
