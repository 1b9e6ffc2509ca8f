"""What is measured of applications from outside."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from perfloop.config.schema.base import Name, Section, Url


class HttpProbe(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A URL that is fetched at each scrape; any status below 400 is good unless one is expected."""

    #: Label `component` of what is measured here.
    component: Name
    #: What is fetched, with GET.
    url: Url
    #: The one status that counts as good; by default every one below 400 does.
    expect_status: Annotated[int, Meta(ge=100, le=599)] | None = None


class ApplicationCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTTP probes of applications."""

    #: Whether it measures.
    enabled: bool = True
    #: URLs that are fetched at each scrape.
    probes: tuple[HttpProbe, ...] = ()
