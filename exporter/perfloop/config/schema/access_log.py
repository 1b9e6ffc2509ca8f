"""What is measured of web servers from the logs that they write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from perfloop.config.schema.base import Name, Section

KeyPath = Annotated[str, Meta(min_length=1)]
Route = Annotated[
    str,
    Meta(
        pattern=r"^/([^{}*\s?#]|\{[A-Za-z_]\w*\})*\*?$",
        max_length=120,
        description="a path like /users/{id}, or with * at its end, without query, of at most 120 characters",
    ),
]


class JsonKeys(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each field stands in a JSON object; `request.uri` is the key `uri` within the object at `request`."""

    #: Key of the request's method.
    method: KeyPath = "method"
    #: Key of the path; origin and query are cut off.
    path: KeyPath = "path"
    #: Key of the status.
    status: KeyPath = "status"
    #: Key of the number of bytes sent.
    bytes: KeyPath = "bytes"
    #: Key of the duration.
    duration: KeyPath = "duration"


class LogFile(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A log that a web server appends to; rotated files are followed, and need no entry."""

    #: Label `component` of what is measured here; one log for each.
    component: Name
    #: The log; a relative path starts at the folder of perfloop.yml.
    path: Path
    #: What writes it: `nginx` and `apache` for common or combined, with the time at the end; `haproxy` for `option
    #: httplog`; `json` for an object on each line; `pattern` for anything else.
    format: Literal["nginx", "apache", "haproxy", "json", "pattern"] = "nginx"
    #: For `json`: where the fields stand.
    keys: JsonKeys | None = None
    #: For `pattern`: a regular expression for a whole line, with groups named method, path, status, bytes, duration.
    pattern: str | None = None
    #: Unit of the durations; by default seconds, for `apache` microseconds (`%D`), for `haproxy` milliseconds.
    duration_unit: Literal["seconds", "milliseconds", "microseconds", "nanoseconds"] | None = None
    #: Routes; the first that fits is the label, `other` if none does. Without any, paths are routes of their own, with
    #: `{id}` for numbers, UUIDs and hashes.
    routes: tuple[Route, ...] = ()
    #: Routes that paths can open where none are given here; what comes later has the route `other`.
    max_routes: Annotated[int, Meta(ge=1, le=1000)] = 50
    #: Where to start in a log that was never read: at its `end`, or at its `beginning`.
    start: Literal["end", "beginning"] = "end"
    #: Bytes that are read at one scrape, at most; what is left is read at the next.
    max_read_bytes: Annotated[int, Meta(ge=1_000_000)] = 16_000_000


class AccessLogCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests by route, from access logs."""

    #: Whether it measures.
    enabled: bool = True
    #: The logs.
    files: tuple[LogFile, ...] = ()
    #: Where positions and counters are stored; a relative path starts at the folder of perfloop.yml.
    state: Path = field(default_factory=lambda: Path(".perfloop/access_log"))
