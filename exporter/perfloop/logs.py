"""Logs as lines of key=value or of JSON: a constant message, and the fields beside it."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

_KNOWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Logfmt(logging.Formatter):
    """Formats a record as logfmt: time, level, source, msg, and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, with the traceback behind it if there is one."""
        line = " ".join(f"{key}={_quote(value)}" for key, value in _fields(record).items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON with the same fields; a traceback is the field `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        fields = _fields(record)
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields, enc_hook=str).decode()


_FORMATTERS = {"logfmt": Logfmt, "json": JsonLines}


def configure(level: str, log_format: str = "logfmt") -> None:
    """Send the logs of perfloop to stderr, from the given level on; libraries speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[log_format]())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("perfloop").setLevel(level.upper())


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "source": record.name.removeprefix("perfloop."),
        "msg": record.getMessage(),
    }
    fields.update((key, value) for key, value in vars(record).items() if key not in _KNOWN)
    return fields


def _quote(value: object) -> str:
    """Quote what is more than a word. Labels are untrusted: nothing in them may reach a terminal or begin a line."""
    text = str(value)
    if text.isprintable() and text and not any(c in text for c in ' "=\\'):
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in msgspec.json.encode(text).decode())


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"
