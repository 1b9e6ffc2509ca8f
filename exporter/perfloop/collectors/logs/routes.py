"""Paths into routes: few enough to be labels, whatever strangers ask for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from perfloop.collectors.logs.formats import Token

OTHER: Final = "other"
# Counted apart for its own counter, and then as `other`: a path whose route came when max_routes were known already.
CAPPED: Final = "other\0"
_MAX_KNOWN_PATHS = 10_000
_MAX_ROUTE_CHARACTERS = 120
# Numbers, UUIDs and hashes (with a digit in them), and whatever is longer than words are.
_IDENTIFIER = re.compile(rb"(?<=/)(?:[0-9]++|(?=[^/]*[0-9])[0-9a-fA-F-]{8,}+|[^/]{33,}+)(?=/|$)")
# Neither origin nor query is ever a label.
_ORIGIN, _QUERY = rb"(?:[a-zA-Z][a-zA-Z0-9+.-]*+://[^/?#]*+)?+", rb"(?:[?#](?s:.*))?+"
_PATH = re.compile(_ORIGIN + rb"(/[^?#]*+)" + _QUERY)
Hit = tuple[Token, str]


class Routes(dict[Hit, str]):
    """Remembers the route of each path and class of status (`2xx`).

    With templates (`/users/{id}`, `/static/*`) a path has the route of the first that fits. Without, a route is the
    path with `{id}` for what looks like an identifier; only a request that was answered well opens a new one, so that
    those who look for holes do not use them up.
    """

    def __init__(self, templates: Sequence[str] = (), *, max_routes: int, known: Sequence[str] = ()) -> None:
        super().__init__()
        self._templates, self._max_routes = tuple(templates), max_routes
        alternatives = b"|".join(b"(" + _expression(template) + b")" for template in templates)
        self._pattern = re.compile(_ORIGIN + b"(?:" + alternatives + b")" + _QUERY)
        self._known = dict.fromkeys(known)

    @property
    def known(self) -> list[str]:
        """The routes that paths have opened, in their order."""
        return list(self._known)

    def __missing__(self, hit: Hit) -> str:
        path, code = hit
        if len(self) >= _MAX_KNOWN_PATHS:
            self.clear()
        raw = path if isinstance(path, bytes) else str(path or "").encode("utf-8", "replace")
        self[hit] = route = self._template(raw) if self._templates else self._opened(raw, code)
        return route

    def _template(self, path: bytes) -> str:
        found = self._pattern.fullmatch(path)
        return self._templates[(found.lastindex or 0) - 1] if found else OTHER

    def _opened(self, path: bytes, code: str) -> str:
        found = _PATH.fullmatch(path)
        if found is None:
            return OTHER
        route = _IDENTIFIER.sub(b"{id}", found[1]).decode("utf-8", "replace")
        if route in self._known:
            return route
        if code not in {"2xx", "3xx"} or len(route) > _MAX_ROUTE_CHARACTERS:
            return OTHER
        if len(self._known) >= self._max_routes:
            return CAPPED
        # Requests that went to `other` before may have this route from now on.
        self.clear()
        self._known[route] = None
        return route


def _expression(template: str) -> bytes:
    """Return the regular expression of a template: `{…}` is one segment, `*` at the end whatever comes."""
    prefix = template.endswith("*")
    parts = re.split(rb"\{[^{}/]*\}", template.removesuffix("*").encode())
    return b"[^/?#]++".join(map(re.escape, parts)) + (b"[^?#]*+" if prefix else b"/?+")
