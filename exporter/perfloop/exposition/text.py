"""The text formats, 0.0.4 and OpenMetrics: headers, escaping, and the part of a line before its value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from perfloop.model import Family, MetricType

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# Names come and go in files that others write; ours are some thousand.
_MAX_HEADERS = 20_000
Label = str | bytes
Samples = Iterable[tuple[Family, bytes]]

_LABEL_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_OPENMETRICS_HELP_ESCAPES = _LABEL_ESCAPES
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def header(family: Family) -> bytes:
    """Return the HELP and TYPE lines of a family."""
    # 0.0.4 does not know the type `info`; an info metric is a gauge that is always 1.
    kind = MetricType.GAUGE if family.type is MetricType.INFO else family.type
    return f"# HELP {family.name} {family.help.translate(_HELP_ESCAPES)}\n# TYPE {family.name} {kind}\n".encode()


def openmetrics_header(family: Family) -> bytes:
    """Return the same for OpenMetrics, where a family's name is without the suffix of its samples."""
    name, kind = family.name, str(family.type)
    suffix = {MetricType.COUNTER: "_total", MetricType.INFO: "_info"}.get(family.type, "")
    # Names of other exporters (--compat) that the type forbids can only be of the type `unknown`.
    if family.type is MetricType.UNTYPED or not name.endswith(suffix):
        suffix, kind = "", "unknown"
    name = name.removesuffix(suffix)
    return f"# HELP {name} {family.help.translate(_OPENMETRICS_HELP_ESCAPES)}\n# TYPE {name} {kind}\n".encode()


def series(name: str, labels: Sequence[str], values: Sequence[Label]) -> bytes:
    """Return `name{label="value",…}`; this is the one place where label values are escaped."""
    pairs = ",".join(f'{label}="{_escape(value)}"' for label, value in zip(labels, values, strict=True))
    return (f"{name}{{{pairs}}}" if pairs else name).encode("utf-8", "replace")


def number(value: float | None) -> bytes:
    """Return a value as the page shows it; None and NaN become the empty token, which has no line (see Block)."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return b""
    if isinstance(value, int):
        return b"%d" % value
    if math.isinf(value):
        return b"+Inf" if value > 0 else b"-Inf"
    return repr(value).encode()


def render_page(samples: Samples, *, openmetrics: bool = False) -> bytes:
    """Join the samples into a page: each family once, with its header, whichever collectors it comes from."""
    made, make = (_OPENMETRICS_HEADERS, openmetrics_header) if openmetrics else (_HEADERS, header)
    parts: list[bytes] = []
    places: dict[str, int] = {}
    more: dict[str, list[bytes]] = {}
    for family, lines in samples:
        if not lines:
            continue
        name = family.name
        if name in places:
            more.setdefault(name, []).append(lines)
            continue
        places[name] = len(parts) + 1
        # Asked by name, as a family's own hash takes longer than all the rest.
        known = made.get(name)
        if known is None or known[0] is not family:
            known = _made_anew(made, family, make(family))
        parts += known[1], lines
    for name, others in more.items():
        parts[places[name]] = b"".join((parts[places[name]], *others))
    page = b"".join(parts)
    return page + b"# EOF\n" if openmetrics else page


def _escape(value: Label) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text.translate(_LABEL_ESCAPES)


_Made = dict[str, tuple[Family, bytes]]
_HEADERS: _Made = {}
_OPENMETRICS_HEADERS: _Made = {}


def _made_anew(made: _Made, family: Family, head: bytes) -> tuple[Family, bytes]:
    if len(made) > _MAX_HEADERS:
        made.clear()
    made[family.name] = (family, head)
    return made[family.name]
