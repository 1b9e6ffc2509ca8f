"""The part of GitHub's REST API that issues about alerts need: one conversation, with one deadline for all of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import requests
from msgspec import Struct
from requests.auth import AuthBase
from requests.utils import parse_header_links

from perfloop.errors import Rejected, Throttled, Unauthorized, Unavailable
from perfloop.exchange import Answer, exchange
from perfloop.protocols import Clock
from perfloop.wording import printable

T = TypeVar("T")

_PAGE = 100
_LONGEST_WORDS = 200
# What GitHub asks for where it does not say how long.
_PATIENCE_SECONDS, _LONGEST_PATIENCE_SECONDS = 60.0, 3600.0


class Label(Struct, frozen=True):
    """A label of an issue."""

    name: str


class Issue(Struct, frozen=True, kw_only=True):
    """What is needed of an issue."""

    number: int
    state: str
    created_at: datetime
    closed_at: datetime | None = None
    body: str | None = None
    labels: list[Label] = []
    # GitHub lists these among the issues.
    pull_request: dict[str, object] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is open."""
        return self.state == "open"


class Comment(Struct, frozen=True, kw_only=True):
    """What is needed of a comment."""

    created_at: datetime
    body: str | None = None


class Conversation:
    """Asks GitHub about the issues of one repository, until a deadline (of `time.monotonic`).

    Every method raises Unavailable (5xx, no answer in time), Throttled (a rate limit), Unauthorized (401, and 403 that
    is no rate limit) and Rejected (all other answers that are no success, redirects too).
    """

    def __init__(
        self, session: requests.Session, api_url: str, repository: str, *, deadline: float, clock: Clock = time.time
    ) -> None:
        self._session, self._deadline, self._clock = session, deadline, clock
        self._url = f"{api_url.rstrip('/')}/repos/{quote(repository)}/issues"
        self._who = f"GitHub at {urlsplit(api_url).netloc}"

    def issues(self, *, label: str, state: str, since: float | None = None) -> list[Issue]:
        """Return the issues with a label, without pull requests; `since` is compared with their last change."""
        query = {"labels": label, "state": state} | ({} if since is None else {"since": _iso(since)})
        return [issue for page in self._pages("", query, list[Issue]) for issue in page if issue.pull_request is None]

    def comments(self, number: int, *, since: float) -> list[Comment]:
        """Return the comments that were made or changed since a time."""
        pages = self._pages(f"/{number}/comments", {"since": _iso(since)}, list[Comment])
        return [comment for page in pages for comment in page]

    def open(self, *, title: str, body: str, labels: tuple[str, ...]) -> Issue:
        """Open an issue."""
        return self._read(self._ask("POST", "", {"title": title, "body": body, "labels": list(labels)}), Issue)

    def comment(self, number: int, body: str) -> None:
        """Comment on an issue."""
        self._ask("POST", f"/{number}/comments", {"body": body})

    def close(self, number: int, *, reason: str) -> None:
        """Close an issue; `completed` and `not_planned` are reasons."""
        self._ask("PATCH", f"/{number}", {"state": "closed", "state_reason": reason})

    def reopen(self, number: int) -> None:
        """Open a closed issue again."""
        self._ask("PATCH", f"/{number}", {"state": "open"})

    def _pages(self, path: str, query: Mapping[str, str], shape: type[T]) -> Iterator[T]:
        more: str | None = urlencode({**query, "per_page": _PAGE})
        while more:
            answer = self._ask("GET", f"{path}?{more}")
            yield self._read(answer, shape)
            # Only what asks for the next page is taken over, so that the token never goes to another host.
            links = parse_header_links(answer.headers.get("link", ""))
            more = next((urlsplit(link["url"]).query for link in links if link.get("rel") == "next"), None)

    def _ask(self, method: str, path: str, body: object | None = None) -> Answer:
        left_seconds = self._deadline - time.monotonic()
        if left_seconds <= 0:
            raise Unavailable(f"{self._who} takes too long")
        answer = exchange(
            self._session,
            method,
            self._url + path,
            who=self._who,
            timeout_seconds=left_seconds,
            json=body,
            redirects=False,
        )
        if answer.status >= requests.codes.multiple_choices:
            raise self._refusal(answer, f"{method} {urlsplit(self._url + path).path}")
        return answer

    def _refusal(self, answer: Answer, what: str) -> Exception:
        words = _words(answer.body)
        says = f"{self._who} answers {answer.status} to {what}: {words}"
        if answer.status == requests.codes.too_many_requests or (
            answer.status == requests.codes.forbidden and _is_a_limit(answer, words)
        ):
            return Throttled(says, retry_seconds=self._patience(answer.headers))
        if answer.status >= requests.codes.server_error or answer.status == requests.codes.request_timeout:
            return Unavailable(says)
        if answer.status in {requests.codes.unauthorized, requests.codes.forbidden}:
            return Unauthorized(f"{says}; the channel's token must be valid and may write issues")
        if answer.status < requests.codes.bad_request:
            return Rejected(f"{says}; the repository has moved, or api_url is not the API's")
        return Rejected(says)

    def _patience(self, headers: Mapping[str, str]) -> float:
        wait, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
        seconds = _PATIENCE_SECONDS
        if wait.isdecimal():
            seconds = float(wait)
        elif headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
            seconds = float(reset) - self._clock()
        return min(max(seconds, 1.0), _LONGEST_PATIENCE_SECONDS)

    def _read(self, answer: Answer, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(answer.body, type=shape)
        except msgspec.MsgspecError as error:
            raise Rejected(f"{self._who} does not answer as GitHub's API does: {error}") from error


class Bearer(AuthBase):
    """Puts the token into each request. As a header of the session it would give way to a ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request with its token."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _is_a_limit(answer: Answer, words: str) -> bool:
    return (
        "retry-after" in answer.headers
        or answer.headers.get("x-ratelimit-remaining") == "0"
        or "rate limit" in words.lower()
    )


def _words(body: bytes) -> str:
    """Return GitHub's own message, or the beginning of whatever answered in its place."""
    try:
        words = str(msgspec.json.decode(body, type=dict[str, object])["message"])
    except (msgspec.MsgspecError, KeyError):
        words = body[:_LONGEST_WORDS].decode(errors="replace").strip() or "nothing"
    return printable(words[:_LONGEST_WORDS])


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
