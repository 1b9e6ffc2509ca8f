"""Certificates made by openssl for the tests: an authority, a server, and clients."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """Signs certificates into a folder; `ca.pem` is its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _openssl(
            folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority",
        )  # fmt: skip

    def sign(self, name: str, *alternative_names: str) -> None:
        """Write NAME.pem and NAME.key, replacing older ones."""
        _openssl(
            self.folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", f"{name}.new.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
        )  # fmt: skip
        (self.folder / "extensions").write_text(f"subjectAltName={','.join(alternative_names)}\n")
        _openssl(
            self.folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.new.pem", "-days", "2", "-extfile", "extensions",
        )  # fmt: skip
        for kind in ("key", "pem"):
            (self.folder / f"{name}.new.{kind}").rename(self.folder / f"{name}.{kind}")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)
