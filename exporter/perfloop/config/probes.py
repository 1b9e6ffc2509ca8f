"""What must hold of probes: patterns that no body can hang, headers HTTP can carry, options of the right prober."""

from __future__ import annotations

import re
from collections.abc import Mapping

from perfloop.collectors.logs.patterns import search_fault
from perfloop.config.reader import Document
from perfloop.config.schema import Config, Secret
from perfloop.config.schema.probes import HttpOptions, ProbeModule

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RESERVED_HEADERS = {
    "authorization": "bearer_token or basic_auth says it",
    "connection": "the prober sets it",
    "content-length": "body says it",
}


def check_probes(document: Document, config: Config) -> None:
    """Report every mistake in the probes to the document."""
    for i, probe in enumerate(config.collectors.application.probes):
        _check_http(document, f"collectors.application.probes[{i}]", probe)
    for name, module in config.collectors.probe.modules.items():
        _check_module(document, f"collectors.probe.modules.{name}", module)


def probe_secrets(config: Config) -> dict[str, Secret]:
    """Return the secrets of all probes by their place."""
    options = {f"collectors.application.probes[{i}]": p for i, p in enumerate(config.collectors.application.probes)}
    modules = config.collectors.probe.modules
    all_options = {**options, **{f"collectors.probe.modules.{n}.http": m.http for n, m in modules.items() if m.http}}
    secrets = {f"{path}.bearer_token": http.bearer_token for path, http in all_options.items() if http.bearer_token}
    return secrets | {
        f"{path}.basic_auth.password": http.basic_auth.password for path, http in all_options.items() if http.basic_auth
    }


def _check_module(document: Document, path: str, module: ProbeModule) -> None:
    for prober in ("http", "tls", "ping", "dns"):
        if getattr(module, prober) is not None and prober != module.prober:
            document.report(
                f"{path}.{prober}", f"is for the prober {prober}; the one of this module is {module.prober}"
            )
    if module.prober == "dns" and module.dns is None:
        document.report(path, "expected `dns` with the name that is asked for")
    if module.http is not None:
        _check_http(document, f"{path}.http", module.http)


def _check_http(document: Document, path: str, http: HttpOptions) -> None:
    for key, pattern in (("expect_body", http.expect_body), ("forbid_body", http.forbid_body)):
        problem = search_fault(pattern)
        if problem is not None:
            document.report(f"{path}.{key}", problem)
    if http.bearer_token is not None and http.basic_auth is not None:
        document.report(path, "expected at most one of bearer_token and basic_auth")
    check_headers(document, f"{path}.headers", http.headers, _RESERVED_HEADERS)


def check_headers(document: Document, path: str, headers: Mapping[str, str], reserved: Mapping[str, str]) -> None:
    """Report headers that HTTP cannot carry, and the reserved ones with what is said of them."""
    for name, value in headers.items():
        below = f"{path}.{name}"
        if not _HEADER_NAME.fullmatch(name):
            document.report(below, f"expected the name of a header, got {name!r}")
        elif name.lower() in reserved:
            document.report(below, f"is not for a header of your own; {reserved[name.lower()]}")
        elif not (value.isascii() and value.isprintable()):
            document.report(below, f"expected one line of printable ASCII characters, got {value!r}")
