"""The exporter as a process: `perfloop exporter` becomes this one when its command line is understood.

The libraries for the command line are 4 MB that a process which runs for months on every host need not hold.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from perfloop import logs
from perfloop.app.options import ExporterOptions
from perfloop.errors import ConfigInvalid, PerfloopError


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line said."""

    config_file: Path
    options: ExporterOptions
    log_level: str
    log_format: str


def become(command: Command) -> None:
    """Put the exporter in the place of this process: the same pid, sockets and environment. Does not return."""
    text = msgspec.json.encode(command, enc_hook=_encode).decode()
    # Until there is a handler, a reload must not be the end; what is ignored stays so in the new process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # -P: the current folder is no place to import from.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "perfloop.app.lean", text])  # noqa: S606 - ourselves, no shell


def serve(command: Command) -> None:
    """Serve until SIGTERM or SIGINT. Raises PerfloopError when it cannot begin."""
    from perfloop.app.exporter import Exporter  # noqa: PLC0415 - not for who only becomes this process
    from perfloop.config.apart import read_apart  # noqa: PLC0415

    logs.configure(command.log_level, command.log_format)
    # What asks for a reload before there is an exporter is not forgotten.
    early: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _: early.append(number))
    file, options = command.config_file, command.options
    exporter = Exporter(file, base=file.resolve().parent, environ=os.environ, options=options, read_file=read_apart)
    signal.signal(signal.SIGHUP, lambda *_: exporter.reload())
    if early:
        exporter.reload()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: exporter.stop())
    # What is there now stays: the collector of garbage need not look at it again and again.
    gc.collect()
    gc.freeze()
    exporter.serve()


def _encode(value: Any) -> Any:  # noqa: ANN401 - paths
    return str(value)


def main(text: str) -> int:
    """Serve as the encoded command says, and return the exit code."""
    try:
        serve(msgspec.json.decode(text, type=Command, dec_hook=lambda kind, value: kind(value)))
    except ConfigInvalid as error:
        sys.stderr.write("\n".join(error.problems) + "\n")
        return 1
    except PerfloopError as error:
        sys.stderr.write(f"perfloop: {error}\n")
        return 1
    return 0
