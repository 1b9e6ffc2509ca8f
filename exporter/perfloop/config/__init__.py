"""perfloop.yml: read, checked, with the place of every mistake.

What reads and checks is imported when it is needed: an exporter has that done by a process of its own (see apart).
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from perfloop.config.schema import Config, Secret, Tls
from perfloop.errors import ConfigInvalid
from perfloop.model import Component, Encryption

__all__ = ["Config", "component_of", "load", "parse", "place", "read_secret"]


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises ConfigInvalid with all of its mistakes."""
    from perfloop.config.reader import read_text

    return parse(read_text(path), name=str(path))


def parse(text: str, *, name: str = "perfloop.yml") -> Config:
    """Read and check a configuration text. Raises ConfigInvalid with all of its mistakes."""
    from perfloop.config.checks import check
    from perfloop.config.reader import Document, read

    document = Document(text, name=name)
    config = read(document, Config)
    if config is not None:
        check(document, config)
    document.raise_problems()
    if config is None:
        raise ConfigInvalid([f"{name}: is not a configuration"])
    return config


def place(path: Path, key: str) -> str:
    """Return `file:line: key` for a message about a key that only a later step found to be wrong."""
    from perfloop.config.reader import Document, read, read_text

    document = Document(read_text(path), name=str(path))
    read(document, Config)
    return f"{path}:{document.line(key)}: {key}"


def read_secret(secret: Secret, *, base: Path, environ: Mapping[str, str]) -> str:
    """Return the secret's text; relative files are looked up beside the configuration.

    Space around it does not count. Raises ConfigInvalid when it is missing, empty, or not printable ASCII, which
    neither HTTP headers nor every server's protocol can carry.
    """
    if secret.file is not None:
        path = base / secret.file
        try:
            value = path.read_text(encoding="utf-8", errors="replace").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigInvalid([f"{path}: {reason}; a secret was expected in this file"]) from error
        what = str(path)
    else:
        value, what = environ.get(secret.env or "", "").strip(), f"environment variable {secret.env}"
    if not value:
        raise ConfigInvalid([f"{what}: is empty; a secret was expected there"])
    if not (value.isascii() and value.isprintable()):
        raise ConfigInvalid([f"{what}: expected one line of printable ASCII characters as a secret"])
    return value


def component_of(config: Config, name: str, *, base: Path, environ: Mapping[str, str]) -> Component:
    """Return a configured component with its password read."""
    section = config.components[name]
    return Component(
        name=name,
        driver=section.driver,
        address=section.address,
        user=section.user,
        password=read_secret(section.password, base=base, environ=environ) if section.password else "",
        database=section.database,
        encryption=_encryption(section.tls, base) if section.tls is not None else None,
    )


def _encryption(section: Tls, base: Path) -> Encryption:
    ca_file, certificate_file, key_file = (
        str(base.absolute() / path) if path is not None else ""
        for path in (section.ca_file, section.certificate_file, section.key_file)
    )
    return Encryption(
        ca_file=ca_file,
        certificate_file=certificate_file,
        key_file=key_file,
        server_name=section.server_name,
        verify=section.verify,
    )
