"""What is measured of applications from outside."""

from __future__ import annotations

from perfloop.config.schema.base import Name, Section, Url
from perfloop.config.schema.probes import HttpOptions, ProbeSeconds


class HttpProbe(HttpOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A URL that is asked at each scrape; any status below 400 is good unless one is expected."""

    #: Label `component` of what is measured here.
    component: Name
    #: What is asked.
    url: Url
    #: How long the whole answer may take.
    timeout_seconds: ProbeSeconds = 5.0


class ApplicationCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTTP probes of applications."""

    #: Whether it measures.
    enabled: bool = True
    #: URLs that are asked at each scrape.
    probes: tuple[HttpProbe, ...] = ()
