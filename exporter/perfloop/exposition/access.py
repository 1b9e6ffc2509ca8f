"""Who may ask: users with passwords, a rate, and the paths that are open to everybody."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import TYPE_CHECKING

from msgspec.structs import fields

from perfloop.exposition.connection import Deferred, Handler, Headers
from perfloop.exposition.http import Request, Response, error_response
from perfloop.exposition.web_config import RateLimit, ResponseHeaders, WebConfig

if TYPE_CHECKING:
    from perfloop.exposition.passwords import Check, Passwords

_CHECK_SECONDS = 10.0
_CHALLENGE = ("WWW-Authenticate", 'Basic realm="perfloop", charset="UTF-8"')
_BUSY = error_response(HTTPStatus.SERVICE_UNAVAILABLE, ("Retry-After", "1"))


class Access:
    """A handler before another one: whoever may not pass gets 401 or 429. `config` is asked at each request."""

    def __init__(
        self,
        handler: Handler,
        *,
        config: Callable[[], WebConfig],
        wake: Callable[[], None],
        open_paths: Collection[str] = (),
    ) -> None:
        self._handler, self._config, self._open_paths, self._wake = handler, config, frozenset(open_paths), wake
        self._passwords: Passwords | None = None
        self._use(config())

    def __call__(self, request: Request) -> Response | Deferred:
        """Answer a request, perhaps after its password was computed."""
        config = self._current()
        if request.path in self._open_paths:
            return self._handler(request)
        if not self._bucket.take():
            return error_response(HTTPStatus.TOO_MANY_REQUESTS)
        return self._authenticate(request, config) if config.basic_auth_users else self._handler(request)

    def headers(self) -> Headers:
        """Return the headers that every answer gets."""
        self._current()
        return self._headers

    def close(self) -> None:
        """Let the process end without waiting for passwords."""
        if self._passwords is not None:
            self._passwords.close()

    def _current(self) -> WebConfig:
        config = self._config()
        if config is not self._used:
            self._use(config)
        return config

    def _use(self, config: WebConfig) -> None:
        self._used = config
        self._bucket = Bucket(config.rate_limit)
        self._headers = response_headers(config.http_server_config.headers)

    def _authenticate(self, request: Request, config: WebConfig) -> Response | Deferred:
        credentials = _credentials(request)
        if credentials is None:
            return error_response(HTTPStatus.UNAUTHORIZED, _CHALLENGE)
        check = self._all_passwords().check(config.basic_auth_users, *credentials)
        if check is None:
            return _BUSY
        if isinstance(check, bool):
            return self._decide(request, passed=check)
        return Admission(check, lambda passed: self._decide(request, passed=passed))

    def _decide(self, request: Request, *, passed: bool) -> Response | Deferred:
        return self._handler(request) if passed else error_response(HTTPStatus.UNAUTHORIZED, _CHALLENGE)

    def _all_passwords(self) -> Passwords:
        if self._passwords is None:
            from perfloop.exposition.passwords import Passwords  # noqa: PLC0415 - 4 MB of cryptography for who has users

            self._passwords = Passwords(wake=self._wake)
        return self._passwords


def response_headers(given: ResponseHeaders) -> Headers:
    """Return the headers that are not blank."""
    named = ((field.encode_name, getattr(given, field.name)) for field in fields(given))
    return tuple((name, value) for name, value in named if value)


class Admission:
    """An answer that has to wait for a password's check."""

    def __init__(self, check: Check, decide: Callable[[bool], Response | Deferred]) -> None:
        self._check, self._decide = check, decide
        self.deadline = time.monotonic() + _CHECK_SECONDS

    @property
    def ready(self) -> bool:
        """Whether the check is done."""
        return self._check.outcome is not None

    def response(self) -> Response | Deferred:
        """Go on to the handler, or not."""
        return _BUSY if self._check.outcome is None else self._decide(self._check.outcome)


class Bucket:
    """A token bucket: one token each interval, at most `burst` of them, one for each request."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._interval_seconds = limit.interval_seconds
        self._tokens, self._filled_at = float(limit.burst), time.monotonic()

    def take(self) -> bool:
        """Take a token if there is one."""
        if not self._interval_seconds:
            return True
        now = time.monotonic()
        gained = (now - self._filled_at) / self._interval_seconds
        self._tokens, self._filled_at = min(float(self.limit.burst), self._tokens + gained), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _credentials(request: Request) -> tuple[str, bytes] | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None
