"""Logs as lines of key=value: a constant message, and the fields beside it."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_KNOWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Logfmt(logging.Formatter):
    """Formats a record as logfmt: time, level, source, msg, and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, with the traceback behind it if there is one."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "source": record.name.removeprefix("perfloop."),
            "msg": record.getMessage(),
        }
        fields.update((key, value) for key, value in vars(record).items() if key not in _KNOWN)
        line = " ".join(f"{key}={_quote(value)}" for key, value in fields.items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(level: str) -> None:
    """Send the logs of perfloop to stderr, from the given level on; libraries speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Logfmt())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("perfloop").setLevel(level.upper())


def _quote(value: object) -> str:
    """Quote what is more than a word. Labels are untrusted: nothing in them may reach a terminal or begin a line."""
    text = str(value)
    if text.isprintable() and text and not any(c in text for c in ' "=\\'):
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in json.dumps(text, ensure_ascii=False))


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"
