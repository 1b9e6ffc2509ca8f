"""The kinds of values in perfloop.yml, and the base of its sections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0)]
WholeSeconds = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=1)]
#: Minutes; up to five days, as Alertmanager then forgets whom it told (--data.retention) and would tell them again.
Cooldown = Annotated[int, Meta(ge=0, le=7200)]
Ratio = Annotated[float, Meta(gt=0, le=10)]
Share = Annotated[float, Meta(gt=0, lt=1)]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_-]{0,62}$",
        description="a name of letters, digits, _ and -, beginning with a letter, of at most 63 characters",
    ),
]
MetricName = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="a metric name of lower-case letters, digits and _"),
]
#: 0 to 65535.
PORT = "([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
Address = Annotated[
    str,
    Meta(
        pattern=rf"^(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+|/[^\s:]+):{PORT}$",
        description="HOST:PORT (or the folder of a UNIX socket, a colon, and the port)",
    ),
]
Url = Annotated[
    str, Meta(pattern=r"^https?://[^\s@]+$", description="an http:// or https:// URL without credentials in it")
]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every mapping in perfloop.yml."""


class Secret(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret is never written into perfloop.yml: it stands in a file or in an environment variable."""

    EXPECTED: ClassVar[str] = "a mapping with `file` or `env`; a secret is never written into perfloop.yml"

    #: File that holds the secret and nothing else; a relative path starts at the folder of perfloop.yml.
    file: Path | None = None
    #: Environment variable that holds the secret.
    env: str | None = None
