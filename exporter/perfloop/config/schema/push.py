"""What may be pushed to the exporter."""

from __future__ import annotations

from perfloop.config.schema.base import Count, Seconds, Secret, Section


class PushCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metrics that jobs push with `POST /push/JOB`; see [push](collectors/push.md)."""

    #: Bearer token that a push needs; without one, nothing can be pushed.
    token: Secret | None = None
    #: How long pushed metrics are shown, at most; a push may ask for less.
    ttl_seconds: Seconds = 3600.0
    #: Size of the largest push.
    max_body_bytes: Count = 1_048_576
    #: Jobs that are remembered; beyond that, new ones are refused.
    max_jobs: Count = 100
    #: Series of all jobs together; a push that does not fit is refused.
    max_series: Count = 10_000
