"""Which versions of Prometheus and Alertmanager are compiled for; older syntax than theirs is always used."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from perfloop.errors import ConfigInvalid

Version = tuple[int, int]

_VERSION = re.compile(r"v?(\d+)\.(\d+)(\.\d+)?")
# keep_firing_for came with 2.42; in 0.25 it is that auth_password_file and api_url_file are both there.
_OLDEST = {"prometheus": (2, 42), "alertmanager": (0, 25)}
_NEWEST_MAJOR = {"prometheus": 3, "alertmanager": 0}


class Targets(Struct, frozen=True, kw_only=True):
    """The oldest versions that must understand the compiled files."""

    prometheus: Version = _OLDEST["prometheus"]
    alertmanager: Version = _OLDEST["alertmanager"]

    @property
    def retention_in_file(self) -> bool:
        """Whether prometheus.yml says the retention; before 3.11 the file's value was not understood as it is meant."""
        return self.prometheus >= (3, 11)

    @property
    def webhook_headers(self) -> bool:
        """Whether a webhook may have headers of one's own."""
        return self.alertmanager >= (0, 28)

    @property
    def webhook_timeout(self) -> bool:
        """Whether one attempt at a webhook may be given a time; else it may take the whole group_interval."""
        return self.alertmanager >= (0, 28)

    @property
    def email_threading(self) -> bool:
        """Whether mails about one thing can be made one thread."""
        return self.alertmanager >= (0, 30)


def parse_targets(texts: Iterable[str]) -> Targets:
    """Read `prometheus=3.14` and `alertmanager=0.34`, also several with commas between; the last of each counts.

    Raises ConfigInvalid for another program, and for versions that nothing is known about.
    """
    versions: dict[str, Version] = {}
    for text in (part.strip() for given in texts for part in given.split(",")):
        program, _, version = text.partition("=")
        if program not in _OLDEST:
            raise ConfigInvalid([f"expected prometheus=VERSION or alertmanager=VERSION, got {text!r}"])
        versions[program] = _version(program, version)
    return Targets(**versions)


def written(version: Version) -> str:
    """Return a version as people write it: 2.42."""
    return f"{version[0]}.{version[1]}"


def _version(program: str, text: str) -> Version:
    found = _VERSION.fullmatch(text)
    oldest = _OLDEST[program]
    if found is None:
        raise ConfigInvalid([f"expected a version of {program} such as {written(oldest)}, got {text!r}"])
    version = (int(found[1]), int(found[2]))
    if version < oldest:
        raise ConfigInvalid([f"{program} {text} is too old: expected {written(oldest)} or newer"])
    if version[0] > _NEWEST_MAJOR[program]:
        raise ConfigInvalid([f"{program} {text} is not known: expected a version below {_NEWEST_MAJOR[program] + 1}.0"])
    return version
