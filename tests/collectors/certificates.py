"""A certificate of our own for servers on loopback."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from perfloop.stack.process import find_binary


class Certificate(NamedTuple):
    """Its file, which is its own authority, and its key's; both may be read by all, as servers run as others."""

    file: Path
    key: Path


def certificate(folder: Path, *, name: str = "localhost") -> Certificate:
    """Make one for a name and 127.0.0.1."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    argv = [find_binary("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    argv += ["-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"]
    argv += ["-keyout", str(made.key), "-out", str(made.file)]
    subprocess.run(argv, check=True, capture_output=True)
    made.key.chmod(0o644)
    return made
