"""Paths into routes: few enough to be labels, whatever strangers ask for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from perfloop.collectors.logs.formats import Token

OTHER: Final = "other"
# Counted apart for its own counter, and then as `other`: a path whose route came when max_routes were known already.
CAPPED: Final = "other\0"
_MAX_KNOWN_PATHS = 20_000
_MAX_ROUTE_CHARACTERS = 120
# Numbers, UUIDs and hashes (with a digit in them), and whatever is longer than words are.
_IDENTIFIER = re.compile(r"(?<=/)(?:[0-9]++|(?=[^/]*[0-9])[0-9a-fA-F-]{8,}+|[^/]{33,}+)(?=/|$)")
_ORIGIN = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*+://[^/]*+")
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
        self._pattern = re.compile("|".join(f"({_expression(template)})" for template in templates))
        self._known = dict.fromkeys(known)

    @property
    def known(self) -> list[str]:
        """The routes that paths have opened, in their order."""
        return list(self._known)

    def __missing__(self, hit: Hit) -> str:
        path, code = hit
        if len(self) >= _MAX_KNOWN_PATHS:
            self.clear()
        route = self._route(_plain(path), code)
        self[hit] = route
        return route

    def _route(self, path: str, code: str) -> str:
        if not path.startswith("/"):
            return OTHER
        if self._templates:
            found = self._pattern.fullmatch(path)
            return self._templates[(found.lastindex or 0) - 1] if found else OTHER
        route = _IDENTIFIER.sub("{id}", path)
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


def _plain(path: Token) -> str:
    """Return the path without origin and query: neither is ever a label."""
    text = path.decode("utf-8", "replace") if isinstance(path, bytes) else str(path or "")
    if not text.startswith("/"):
        text = _ORIGIN.sub("", text, count=1)
    return text.partition("?")[0].partition("#")[0]


def _expression(template: str) -> str:
    """Return the regular expression of a template: `{…}` is one segment, `*` at the end whatever comes."""
    prefix = template.endswith("*")
    parts = re.split(r"\{[^{}/]*\}", template.removesuffix("*"))
    return "[^/]++".join(map(re.escape, parts)) + ("(?s:.*)" if prefix else "/?+")
