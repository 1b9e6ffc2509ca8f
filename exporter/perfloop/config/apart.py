"""Reads perfloop.yml in a process that ends: the libraries for YAML and for checking are 5 MB that need not stay."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import msgspec

from perfloop.config import Config, parse
from perfloop.errors import ConfigInvalid

_SECONDS = 60.0
# The exit code of the process when the file has mistakes, which it then prints.
_INVALID = 3


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a file, and the CRC-32 of its text."""

    config: Config
    crc: int


def read(file: Path, *, may_be_missing: bool = False) -> Reading:
    """Read and check a file here. A missing one may count as empty. Raises ConfigInvalid with all mistakes."""
    from perfloop.config.reader import read_text  # noqa: PLC0415 - see above

    text = "" if may_be_missing and not file.exists() else read_text(file)
    return Reading(config=parse(text, name=str(file)), crc=zlib.crc32(text.encode()))


def read_apart(file: Path, *, may_be_missing: bool = False) -> Reading:
    """Do the same in a process of its own, which takes some tenths of a second. Raises ConfigInvalid likewise."""
    options = ["may-be-missing"] if may_be_missing else []
    argv = [sys.executable, "-m", "perfloop.config.apart", str(file), *options]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, check=False, timeout=_SECONDS)
        if done.returncode == _INVALID:
            raise ConfigInvalid(msgspec.json.decode(done.stdout, type=list[str]))
        return msgspec.json.decode(done.stdout, type=Reading, dec_hook=_decode)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        raise ConfigInvalid([f"{file}: could not be read: {error}"]) from error


def _decode(kind: type, value: Any) -> Any:  # noqa: ANN401 - paths, as text
    return kind(value)


def _main(file: str, *options: str) -> int:
    try:
        found: Reading | tuple[str, ...] = read(Path(file), may_be_missing=bool(options))
    except ConfigInvalid as error:
        found = error.problems
    sys.stdout.buffer.write(msgspec.json.encode(found, enc_hook=str))
    return _INVALID if isinstance(found, tuple) else 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
