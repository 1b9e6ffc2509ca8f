"""Log lines into rows: method, path, status, bytes and duration, as the source wrote them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

# Each may be missing: b"" where a line is a row of tokens, None where it was JSON.
Token = bytes | str | float | None
Value = str | int | float | None
Row = tuple[Token, Token, Token, Token, Token]
# Whole lines, each with its newline, into the rows of those that could be read.
Parse = Callable[[bytes], list[Row]]

FIELDS = ("method", "path", "status", "bytes", "duration")
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
# A longer line of JSON or of an own pattern is not looked at.
MAX_LINE_BYTES = 8192

_UNIT = {"apache": "microseconds", "haproxy": "milliseconds"}


class Format(Struct, frozen=True, kw_only=True):
    """How a log is written; `keys` is for `json`, `pattern` for `pattern`. Each format has a unit of its own."""

    name: str = "nginx"
    keys: Mapping[str, str] = {}
    pattern: str = ""
    unit: str | None = None

    @property
    def units_per_second(self) -> int:
        """How many of the log's units of time a second has."""
        return UNITS[self.unit or _UNIT.get(self.name, "seconds")]

    def parser(self) -> Parse:
        """Return what reads the lines."""
        if self.name == "json":
            return json_lines(self.keys)
        if self.name == "pattern":
            return pattern(self.pattern)
        return haproxy if self.name == "haproxy" else combined


# What follows an opening quote, up to the closing one; servers write quotes within as \" or \x22.
_QUOTED = rb'[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
# A request line that is none (a TLS greeting on the plain port) leaves method and path empty. No part of a pattern
# can match what comes after it, so that each line is read once: possessive quantifiers say so to `re`.
_REQUEST = rb'"(?:([A-Z]{1,20}) ([^ ?#"\\\n]*+(?:\\[^\n][^ ?#"\\\n]*+)*+))?+' + _QUOTED
_COMBINED = re.compile(
    rb'^[^"\\\n]*+(?:\\.[^"\\\n]*+)*+'
    + _REQUEST
    + rb' (\d{3}) (\d++|-)(?: "'
    + _QUOTED
    + rb' "'
    + _QUOTED
    + rb")?+(?: ([\d.]++)(?![^ \n]))?+[^\n]*+$",
    re.MULTILINE,
)
# Up to the bracket that ends the date; before it there may be syslog's own, which ends with a colon.
_HAPROXY = re.compile(
    rb'^[^"\]\n]*+(?:\]: [^"\]\n]*+)?+\] [^ \n]++ [^ \n]++ (?:-?\d++/){4}\+?(-?\d++) (-?\d++) \+?(\d++) [^"\n]*+'
    + _REQUEST,
    re.MULTILINE,
)


def combined(block: bytes) -> list[Row]:
    """Read the lines that nginx and Apache write: common or combined, and perhaps the time at the end."""
    return _COMBINED.findall(block)


def haproxy(block: bytes) -> list[Row]:
    """Read the lines of HAProxy's `option httplog`; the duration is Ta, from the request's first byte to the end."""
    return [(method, path, status, size, ta) for ta, status, size, method, path in _HAPROXY.findall(block)]


def json_lines(keys: Mapping[str, str]) -> Parse:
    """Return what reads a JSON object per line; `keys` says where each field stands, `a.b` being b within a."""
    decode = msgspec.json.Decoder(_shape(list(keys.values()))).decode
    values = [attrgetter(_attributes(keys[name])) if name in keys else _nothing for name in FIELDS]

    def rows(block: bytes) -> Iterator[Row]:
        for line in block[:-1].split(b"\n"):
            try:
                entry = decode(line) if len(line) <= MAX_LINE_BYTES else None
            except (msgspec.DecodeError, RecursionError):
                continue
            if entry is None:
                continue
            method, path, status, size, duration = (value(entry) for value in values)
            if status is not None:
                yield method, path, status, size, duration

    return lambda block: list(rows(block))


def pattern(text: str) -> Parse:
    """Return what reads lines by a regular expression with a named group for each field; see `patterns.fault`."""
    compiled = re.compile(text.encode())
    groups = [name if name in compiled.groupindex else None for name in FIELDS]

    def rows(block: bytes) -> Iterator[Row]:
        for line in block[:-1].split(b"\n"):
            found = compiled.fullmatch(line.removesuffix(b"\r")) if len(line) <= MAX_LINE_BYTES else None
            if found is not None:
                method, path, status, size, duration = (found[name] if name else b"" for name in groups)
                yield method, path, status, size, duration

    return lambda block: list(rows(block))


def _shape(paths: list[str]) -> type[msgspec.Struct]:
    """Return a struct with these keys and no others, so that the rest of an object is skipped, not built."""
    children: dict[str, list[str]] = {}
    for path in paths:
        first, _, rest = path.partition(".")
        children.setdefault(first, []).extend([rest] if rest else [])
    fields: list[tuple[str, Any, Any]] = []
    for name, below in children.items():
        shape = _shape(below) if below else None
        default = msgspec.field(name=name, default_factory=shape) if shape else msgspec.field(name=name, default=None)
        fields.append((_attributes(name), shape or Value, default))
    return msgspec.defstruct("Entry", fields)


def _attributes(path: str) -> str:
    """Return the names under which Python finds a key: any text may be one in JSON."""
    return ".".join(f"key_{key.encode().hex()}" for key in path.split("."))


def _nothing(_: object) -> None:
    return None
