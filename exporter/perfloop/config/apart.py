"""Reads perfloop.yml in a process that ends: the libraries for YAML and for checking are 5 MB that need not stay."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import msgspec

from perfloop.config import Config, parse
from perfloop.errors import ConfigInvalid

_SECONDS = 60.0
_CHUNK_BYTES = 1 << 16
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
    # -P: the current folder is no place to import from.
    argv = [sys.executable, "-P", "-m", "perfloop.config.apart", str(file), *options]
    try:
        code, output = _run(argv)
        if code == _INVALID:
            raise ConfigInvalid(msgspec.json.decode(output, type=list[str]))
        return msgspec.json.decode(output, type=Reading, dec_hook=_decode)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigInvalid([f"{file}: could not be read: {error}"]) from error


def _run(argv: list[str]) -> tuple[int, bytes]:
    """Return exit code and standard output. Without the module subprocess, which takes half a megabyte."""
    reading, writing = os.pipe()
    try:
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)])
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as output:
        text = _read_until(output.fileno(), time.monotonic() + _SECONDS)
    if text is None:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if text is None:
        raise TimeoutError(f"it took longer than {_SECONDS:g} s")
    return os.waitstatus_to_exitcode(status), text


def _read_until(pipe: int, deadline: float) -> bytes | None:
    """Return all that comes, or nothing if its end does not come in time."""
    parts: list[bytes] = []
    # Not select(), which knows no number above 1023.
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    while waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
        part = os.read(pipe, _CHUNK_BYTES)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return None


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
