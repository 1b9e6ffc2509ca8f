"""Talk to one outside system each, in values and the errors of `perfloop.errors`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from perfloop.errors import ActionRefused
from perfloop.model import Component
from perfloop.protocols import Driver

# Classes by name, as `module:class`: a driver's library is imported with its first component, not before.
DRIVERS = {
    "pgbouncer": "perfloop.drivers.pgbouncer:Pgbouncer",
    "postgresql": "perfloop.drivers.postgresql:Postgresql",
    "redis": "perfloop.drivers.redis:Redis",
}


def connect(component: Component, *, timeout_seconds: float = 5.0) -> Driver:
    """Make the driver of a component; it connects at each call, not here, and waits `timeout_seconds` for each answer.

    Raises ActionRefused when there is no such driver or its library is not installed.
    """
    if component.driver not in DRIVERS:
        raise ActionRefused(f"{component.name}: there is no driver {component.driver!r}, only {', '.join(DRIVERS)}")
    module, _, name = DRIVERS[component.driver].partition(":")
    try:
        factory = cast("Callable[..., Driver]", getattr(importlib.import_module(module), name))
    except ModuleNotFoundError as error:
        raise ActionRefused(f"{component.name}: driver {component.driver} needs the library {error.name}") from error
    return factory(component, timeout_seconds=timeout_seconds)
