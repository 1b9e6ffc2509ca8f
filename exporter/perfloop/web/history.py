"""GET /api/v1/metrics: what was recorded under a name, newest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from litestar import get
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from perfloop.model import Measurement
from perfloop.protocols import History

_Name = Annotated[str, QueryParameter(description="A name of the catalogue, or an output_metric of perfloop.yml.")]
_Start = Annotated[float | None, QueryParameter(description="Unix seconds; by default an hour before the end.")]
_End = Annotated[float | None, QueryParameter(description="Unix seconds; by default now.")]
_Limit = Annotated[int, QueryParameter(ge=1, le=10_000, description="At most so many, newest first.")]


def remembering(history: Callable[[], History]) -> BaseRouteHandler:
    """Return the handler; `history` gives that of the configuration in force."""

    @get("/metrics", sync_to_thread=True)
    def list_measurements(
        name: _Name, start: _Start = None, end: _End = None, limit: _Limit = 100
    ) -> list[Measurement]:
        """Return samples of a recorded series from Prometheus, newest first."""
        return history().measurements(name, start=start, end=end, limit=limit)

    return list_measurements
