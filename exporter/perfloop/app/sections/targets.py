"""From the sections of perfloop.yml to what probes ask and expect; secrets are read here."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from perfloop.collectors.dns import Question
from perfloop.collectors.probes.fetch import Fetch
from perfloop.collectors.probes.trust import Trust
from perfloop.config import read_secret
from perfloop.config.schema.probes import DnsOptions, HttpOptions, TlsOptions
from perfloop.errors import ConfigInvalid


def trust_of(options: TlsOptions, *, base: Path) -> Trust:
    """Return whom a probe trusts. Raises ConfigInvalid when the file of authorities is not there."""
    ca_file = base / options.ca_file if options.ca_file else None
    if ca_file is not None and not ca_file.is_file():
        raise ConfigInvalid([f"{ca_file}: is no file; certificates of authorities (PEM) were expected there"])
    return Trust(
        ca_file=str(ca_file or ""),
        verify=options.verify,
        server_name=options.server_name,
        minimum_version=options.minimum_version,
    )


def fetch_of(options: HttpOptions, *, base: Path, environ: Mapping[str, str]) -> Fetch:
    """Return what an HTTP probe asks and expects. Raises ConfigInvalid when a secret is missing."""
    return Fetch(
        method=options.method,
        headers=tuple(options.headers.items()),
        authorization=_authorization(options, base=base, environ=environ),
        body=options.body,
        expect_status=options.expect_status,
        expect_body=options.expect_body,
        forbid_body=options.forbid_body,
        max_body_bytes=options.max_body_bytes,
        max_redirects=options.max_redirects,
        trust=trust_of(options.tls, base=base),
    )


def question_of(options: DnsOptions, *, server: str) -> Question:
    """Return what a DNS server is asked; without a server, those of the system are."""
    return Question(name=options.name, record_type=options.record_type, server=server, expect=options.expect)


def _authorization(options: HttpOptions, *, base: Path, environ: Mapping[str, str]) -> str:
    if options.bearer_token is not None:
        return f"Bearer {read_secret(options.bearer_token, base=base, environ=environ)}"
    if options.basic_auth is None:
        return ""
    password = read_secret(options.basic_auth.password, base=base, environ=environ)
    return f"Basic {base64.b64encode(f'{options.basic_auth.user}:{password}'.encode()).decode()}"
