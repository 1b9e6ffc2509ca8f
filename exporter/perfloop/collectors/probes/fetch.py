"""An HTTP probe: a request, the redirects that it may follow, and what is expected of the answer."""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import SplitResult, urljoin, urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

from perfloop import __version__
from perfloop.collectors.probes.exchange import Answer, Asked, Phases, exchange
from perfloop.collectors.probes.probing import Deadline, Outcome, ProbeFailed, Reason
from perfloop.collectors.probes.trust import Trust

MAX_BODY_BYTES = 1 << 20
# `re` lets no other thread run meanwhile.
SEARCHED_BYTES = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OWN_HEADERS = {"User-Agent": f"perfloop/{__version__}", "Accept": "*/*", "Connection": "close"}


class Fetch(Struct, frozen=True, kw_only=True):
    """What is asked, and what is expected; `authorization` is the value of that header.

    Patterns are searched in the body's first SEARCHED_BYTES. Without an expected status, every one below 400 is good.
    """

    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    authorization: str = ""
    body: str = ""
    expect_status: int | None = None
    expect_body: str = ""
    forbid_body: str = ""
    max_body_bytes: int = MAX_BODY_BYTES
    max_redirects: int = 0
    trust: Trust = field(default_factory=Trust)

    def __repr__(self) -> str:
        """Hide what authorizes."""
        return f"Fetch({self.method})"


def fetch(url: str, wanted: Fetch, deadline: Deadline) -> Outcome:
    """Probe once. Whatever goes wrong is in the outcome."""
    phases = Phases()
    expires_at, answer = None, None
    try:
        answer = _follow(_asked(url, wanted), wanted, phases, deadline)
        expires_at, failure = answer.certificate_expires_at, _judge(answer, wanted)
    except ProbeFailed as error:
        failure, expires_at = error, error.certificate_expires_at
    return Outcome(
        seconds=sum(phases.seconds.values()) if answer else None,
        failure=failure,
        status=answer.status if answer else None,
        certificate_expires_at=expires_at,
        phases=phases.seconds,
    )


def _asked(url: str, wanted: Fetch) -> Asked:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ProbeFailed(Reason.CONNECT, "the URL has no valid address") from error
    headers = {**_OWN_HEADERS, **dict(wanted.headers)}
    if wanted.authorization:
        headers["Authorization"] = wanted.authorization
    return Asked(method=wanted.method, url=parts, headers=headers, body=wanted.body.encode())


def _follow(asked: Asked, wanted: Fetch, phases: Phases, deadline: Deadline) -> Answer:
    """Return the first answer that is no redirect, or the first one where none is followed."""
    for _ in range(wanted.max_redirects + 1):
        answer = exchange(asked, wanted.trust, phases, deadline, max_body_bytes=wanted.max_body_bytes)
        if answer.status not in _REDIRECTS or not answer.location or not wanted.max_redirects:
            return answer
        asked = _redirected(asked, answer)
    return answer


def _redirected(asked: Asked, answer: Answer) -> Asked:
    """Return the next request: elsewhere, neither what authorizes this one nor its other headers are told."""
    try:
        url = urlsplit(urljoin(asked.url.geturl(), answer.location))
        here, there = _origin(asked.url), _origin(url)
    except ValueError as error:
        raise ProbeFailed(Reason.REDIRECT, "the redirect leads to no valid address") from error
    if url.scheme not in {"http", "https"} or "@" in url.netloc:
        raise ProbeFailed(Reason.REDIRECT, "the redirect leads to something else than plain http:// or https://")
    headers = asked.headers if here == there else _OWN_HEADERS
    as_get = answer.status == HTTPStatus.SEE_OTHER or (answer.status in {301, 302} and asked.method == "POST")
    if (as_get and asked.method != "HEAD") or here != there:
        method = "HEAD" if asked.method == "HEAD" else "GET"
        return Asked(method=method, url=url, headers=headers, body=b"")
    return replace(asked, url=url, headers=headers)


def _origin(url: SplitResult) -> tuple[str, str | None, int]:
    return url.scheme, url.hostname, url.port or (443 if url.scheme == "https" else 80)


def _judge(answer: Answer, wanted: Fetch) -> ProbeFailed | None:
    """Return what is wrong with an answer, if something is."""
    status = answer.status
    if wanted.max_redirects and status in _REDIRECTS and answer.location:
        return ProbeFailed(Reason.REDIRECT, f"more than {wanted.max_redirects} redirects")
    if status != wanted.expect_status if wanted.expect_status else status >= HTTPStatus.BAD_REQUEST:
        expected = wanted.expect_status or "one below 400"
        return ProbeFailed(Reason.STATUS, f"the status is {status}, expected {expected}")
    if len(answer.body) > wanted.max_body_bytes:
        return ProbeFailed(Reason.BODY, f"the body is larger than {wanted.max_body_bytes} bytes")
    searched = answer.body[:SEARCHED_BYTES]
    if wanted.expect_body and not re.search(wanted.expect_body.encode(), searched):
        return ProbeFailed(Reason.BODY, "the body does not hold what is expected")
    if wanted.forbid_body and re.search(wanted.forbid_body.encode(), searched):
        return ProbeFailed(Reason.BODY, "the body holds what is forbidden")
    return None
