"""The text formats, 0.0.4 and OpenMetrics: headers, escaping, and the part of a line before its value."""

from __future__ import annotations

import math
from collections.abc import Sequence

from perfloop.model import Family, MetricType
from perfloop.protocols import Samples as Samples  # noqa: PLC0414 - what is written in these formats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Label = str | bytes

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


def _escape(value: Label) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text.translate(_LABEL_ESCAPES)
