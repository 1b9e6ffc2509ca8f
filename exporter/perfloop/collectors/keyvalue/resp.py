"""One kept connection to something that speaks Redis' protocol."""

from __future__ import annotations

import re

from perfloop.collectors.keyvalue.stream import Stream
from perfloop.errors import ConfigInvalid, Rejected, Unavailable
from perfloop.model import Component

_CODE = re.compile(r"[A-Z]{2,20}\b")
# Refusals that stay until somebody changes the server; others, as LOADING and BUSY, pass.
_LASTING = ("NOPERM", "ERR unknown")


class Connection:
    """Sends commands together and returns their replies in order; logs in on each new connection.

    What the server refuses for want of rights is not sent again on the same connection: that would fill its ACL LOG.
    """

    def __init__(self, component: Component, *, timeout_seconds: float) -> None:
        try:
            import hiredis  # noqa: PLC0415 - only if such a component is configured
        except ImportError as error:
            missing = f"components.{component.name}: {error.name} is missing; pip install 'perfloop[redis]'"
            raise ConfigInvalid([missing]) from error
        self._hiredis, self._component = hiredis, component
        self._stream = Stream(component, timeout_seconds=timeout_seconds)
        self._reader = hiredis.Reader(notEnoughData=...)
        self._refusals: dict[bytes, object] = {}

    def ask(self, first: bytes, *others: bytes) -> tuple[bytes, *tuple[object, ...]]:
        """Send packed commands in one go and return a reply for each; a refusal is an exception among them.

        The first one must be answered with text. Raises Unavailable, or Rejected with the server's words.
        """
        with self._stream.exchange():
            if not self._stream.connected:
                self._reader, self._refusals = self._hiredis.Reader(notEnoughData=...), {}
                self._stream.connect()
                self._log_in()
            sent = [command for command in others if command not in self._refusals]
            text, *replies = self._exchange(first, *sent)
            if not isinstance(text, bytes):
                raise Rejected(f"Redis: {text if isinstance(text, Exception) else 'expected text'}")
        answered = dict(zip(sent, replies, strict=True))
        self._refusals |= {command: reply for command, reply in answered.items() if _is_lasting(reply)}
        return text, *(answered.get(command) for command in others)

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        self._stream.close()

    def _log_in(self) -> None:
        if not self._component.password:
            return
        user = (self._component.user,) if self._component.user else ()
        [reply] = self._exchange(pack("AUTH", *user, self._component.password))
        if isinstance(reply, Exception):
            # Only the first word: a server that does not know AUTH repeats its arguments.
            code = _CODE.match(str(reply))
            raise Rejected(f"Redis: the login was refused: {code[0] if code else 'no reason given'}")

    def _exchange(self, *commands: bytes) -> list[object]:
        self._stream.send(b"".join(commands))
        replies: list[object] = []
        while len(replies) < len(commands):
            reply = self._next()
            if reply is ...:
                self._reader.feed(self._stream.receive())
            else:
                replies.append(reply)
        return replies

    def _next(self) -> object:
        try:
            return self._reader.gets()
        # A map whose keys cannot be keys is a TypeError, a number that is none a ValueError.
        except (self._hiredis.ProtocolError, TypeError, ValueError) as error:
            raise Unavailable(f"{self._component.address}: what answers does not speak Redis' protocol") from error


def pack(*command: str) -> bytes:
    """Return a command as the protocol writes it."""
    parts = [part.encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def _is_lasting(reply: object) -> bool:
    return isinstance(reply, Exception) and str(reply).startswith(_LASTING)
