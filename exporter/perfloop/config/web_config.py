"""The file of `--web.config.file`: read, checked, with the place of every mistake; secrets are never repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from perfloop.config.reader import Document, read, read_text
from perfloop.errors import ConfigInvalid
from perfloop.exposition.web_config import LoadedWebConfig, TlsServerConfig, WebConfig

_BCRYPT = re.compile(r"\$2[abxy]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_TLS = "tls_server_config"
_FILES = ("cert_file", "key_file", "client_ca_file")


def load_web_config(path: Path) -> LoadedWebConfig:
    """Read and check the file and the certificates that it names. Raises ConfigInvalid with all of its mistakes."""
    document = Document(read_text(path), name=str(path))
    config = read(document, WebConfig)
    if config is None:
        document.raise_problems()
        raise ConfigInvalid([f"{path}: is not a web configuration"])
    _check_users(document, config)
    _check_rate(document, config)
    tls = replace(config.tls_server_config, **_beside(path, config.tls_server_config))
    for key, problem in _tls_problems(tls):
        document.report(f"{_TLS}.{key}", problem)
    document.raise_problems()
    context = _context(document, tls) if tls.enabled else None
    files = (path, *(file for key in _FILES if (file := getattr(tls, key))))
    return LoadedWebConfig(config=config, tls=context, files=files)


def _check_users(document: Document, config: WebConfig) -> None:
    for user, hashed in config.basic_auth_users.items():
        if not (isinstance(hashed, str) and _BCRYPT.fullmatch(hashed)):
            document.report(f"basic_auth_users.{user}", "expected a bcrypt hash, like that of `htpasswd -nBC 10`")


def _check_rate(document: Document, config: WebConfig) -> None:
    try:
        limited = config.rate_limit.interval_seconds > 0
    except ValueError as error:
        document.report("rate_limit.interval", str(error))
        return
    if limited and not config.rate_limit.burst:
        document.report("rate_limit.burst", "expected int >= 1, or nobody would ever be answered")


def _beside(path: Path, tls: TlsServerConfig) -> dict[str, Path]:
    """Return the files that are named, from the folder of the file that names them."""
    named = {key: getattr(tls, key) for key in _FILES}
    return {key: path.parent / file for key, file in named.items() if file}


def _tls_problems(tls: TlsServerConfig) -> Iterator[tuple[str, str]]:
    if not tls.enabled:
        return
    for key in ("cert", "key", "client_ca"):
        if getattr(tls, key) and getattr(tls, f"{key}_file"):
            yield key, f"stands beside {key}_file; only one of them can count"
        if key != "client_ca" and not (getattr(tls, key) or getattr(tls, f"{key}_file")):
            yield f"{key}_file", "is missing"
    yield from _client_problems(tls)
    if tls.min_version > tls.max_version:
        yield "min_version", f"expected at most max_version ({tls.max_version}), got {tls.min_version!r}"
    if len(tls.curve_preferences) > 1:
        yield "curve_preferences", "expected one curve, which Python can keep to; several cannot be promised"
    yield from _cipher_problems(tls)


def _client_problems(tls: TlsServerConfig) -> Iterator[tuple[str, str]]:
    authorities = bool(tls.client_ca or tls.client_ca_file)
    if tls.client_auth_type in {"RequireAnyClientCert", "RequireClientCert"}:
        yield "client_auth_type", "a certificate of anybody's proves nothing; use RequireAndVerifyClientCert"
    elif tls.verifies and not authorities:
        yield "client_ca_file", f"is missing; {tls.client_auth_type} needs it"
    elif authorities and not tls.verifies:
        yield "client_ca_file", "has no effect without client_auth_type: RequireAndVerifyClientCert"
    if tls.client_allowed_sans and tls.client_auth_type != "RequireAndVerifyClientCert":
        yield "client_allowed_sans", "has no effect without client_auth_type: RequireAndVerifyClientCert"


def _cipher_problems(tls: TlsServerConfig) -> Iterator[tuple[str, str]]:
    from perfloop.exposition.tls import CIPHERS  # noqa: PLC0415 - ssl is 6 MB that plain HTTP does not need

    for index, name in enumerate(tls.cipher_suites):
        if name not in CIPHERS:
            yield f"cipher_suites[{index}]", f"expected one of {', '.join(sorted(CIPHERS))}, got {name!r}"


def _context(document: Document, tls: TlsServerConfig) -> Any:  # noqa: ANN401 - ssl is not imported without need
    """Make the context; what is wrong with a certificate is said at the key that names it."""
    from perfloop.exposition.tls import server_context  # noqa: PLC0415 - as above

    for key in _FILES:
        if file := getattr(tls, key):
            _try_to_read(document, key, file)
    document.raise_problems()
    try:
        return server_context(tls)
    except ConfigInvalid as error:
        key, _, problem = error.problems[0].partition(": ")
        document.report(f"{_TLS}.{key}", problem)
        document.raise_problems()
        raise


def _try_to_read(document: Document, key: str, file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        document.report(f"{_TLS}.{key}", f"{file}: {error.strerror}")
