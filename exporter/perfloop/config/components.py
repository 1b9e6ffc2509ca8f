"""Whether the keys of each component fit its driver."""

from __future__ import annotations

import re

from perfloop.config.reader import Document
from perfloop.config.schema import Config

# libpq names a UNIX socket by its folder and a port; the others by its path.
_BY_FOLDER = frozenset({"postgresql", "pgbouncer"})
_FOLDER = re.compile(r"/.*:[0-9]+$")


def check_components(document: Document, config: Config) -> None:
    """Report addresses, logins and certificates that a component's driver cannot use."""
    for name, section in config.components.items():
        path, address = f"components.{name}", section.address
        if address.startswith("/") and (_FOLDER.match(address) is not None) is not (section.driver in _BY_FOLDER):
            expected = "the folder of a UNIX socket, a colon, and the port"
            if section.driver not in _BY_FOLDER:
                expected = "the path of a UNIX socket"
            document.report(f"{path}.address", f"expected HOST:PORT or {expected}, got {address!r}")
        if section.driver == "memcached" and (section.user or section.password):
            document.report(path, "expected neither user nor password: memcached's text protocol has no login")
        if section.tls is not None and address.startswith("/"):
            document.report(f"{path}.tls", "expected no tls, as a UNIX socket is not encrypted")
        if section.tls is not None and section.tls.key_file is not None and section.tls.certificate_file is None:
            document.report(f"{path}.tls.key_file", "expected certificate_file beside it")
