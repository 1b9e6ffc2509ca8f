"""Answers pushes: `POST`, `PUT` and `DELETE` of `/push/JOB`."""

from __future__ import annotations

import math
import re
from http import HTTPStatus
from urllib.parse import unquote

from perfloop.collectors.others.pushes import PushConflict, PushOverflow, PushStore
from perfloop.config.schema.push import PushCollector as PushSection
from perfloop.errors import PerfloopError
from perfloop.exposition.http import MAX_BODY_BYTES, Request, Response
from perfloop.exposition.parse import PageInvalid, parse

METHODS = ("POST", "PUT", "DELETE")
TTL_HEADER = "x-perfloop-ttl-seconds"
# Where --web.config.file has users, these take the header Authorization for themselves.
TOKEN_HEADER = "x-perfloop-push-token"  # noqa: S105 - the name of a header
# The second one is where clients of the Pushgateway push to.
_PATH = re.compile(r"/(?:push|metrics/job)/(.*)", re.DOTALL)
_JOB = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


class _Refused(PerfloopError):
    """A push that is not accepted, with the status that says why."""

    def __init__(self, status: HTTPStatus, problem: str, *headers: tuple[str, str]) -> None:
        super().__init__(problem)
        self.response = Response(status=status, body=f"{problem}\n".encode(), headers=headers)


class Pushing:
    """Takes pushes into a store. Without a token, everything is refused."""

    def __init__(self, store: PushStore, section: PushSection | None = None, *, token: str | None = None) -> None:
        self.store = store
        self.replace(section or PushSection(), token=token)

    def replace(self, section: PushSection, *, token: str | None) -> None:
        """Take over another configuration; what is stored stays."""
        self._section, self._token = section, token

    def matches(self, path: str) -> bool:
        """Say whether a path is one to push to."""
        return _PATH.match(path) is not None

    def body_limit(self, path: str) -> int:
        """Return how many bytes a request to a path may bring."""
        wanted = self._token is not None and self.matches(path)
        return max(self._section.max_body_bytes, MAX_BODY_BYTES) if wanted else MAX_BODY_BYTES

    def answer(self, request: Request) -> Response:
        """Store, merge or delete, and say what was done. The same push twice does the same twice."""
        try:
            return self._answer(request)
        except _Refused as refused:
            self.store.refused += 1
            return refused.response

    def _answer(self, request: Request) -> Response:
        self._check_token(request)
        if request.method not in METHODS:
            allow = ("Allow", ", ".join(METHODS))
            raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"expected one of {allow[1]}", allow)
        job = _job_of(request.path)
        if request.method == "DELETE":
            self.store.delete(job)
            return Response(body=f"job {job}: forgotten\n".encode())
        return self._put(job, request)

    def _check_token(self, request: Request) -> None:
        if self._token is None:
            raise _Refused(HTTPStatus.FORBIDDEN, "pushes are off: perfloop.yml has no collectors.push.token")
        import hmac  # noqa: PLC0415 - OpenSSL with it, which only pushes need

        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        token = request.headers.get(TOKEN_HEADER, bearer if scheme.lower() == "bearer" else "")
        if not hmac.compare_digest(token.strip().encode(), self._token.encode()):
            problem = "expected the header Authorization: Bearer with the token of collectors.push.token"
            raise _Refused(HTTPStatus.UNAUTHORIZED, problem, ("WWW-Authenticate", "Bearer"))

    def _put(self, job: str, request: Request) -> Response:
        _check_format(request)
        ttl_seconds, limit = self._ttl_seconds(request), self._section.max_body_bytes
        if len(request.body) > limit:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{len(request.body)} bytes, max {limit}")
        sections = self._section
        try:
            families = parse(
                request.body, max_series=sections.max_series, default_help="Pushed without HELP.", labels={"job": job}
            )
            self.store.put(
                job,
                families,
                ttl_seconds=ttl_seconds,
                whole=request.method == "PUT",
                max_jobs=sections.max_jobs,
                max_series=sections.max_series,
            )
        except PageInvalid as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        except PushConflict as error:
            raise _Refused(HTTPStatus.CONFLICT, str(error)) from error
        except PushOverflow as error:
            raise _Refused(HTTPStatus.INSUFFICIENT_STORAGE, str(error)) from error
        return Response(body=f"job {job}: {len(families)} families, for {ttl_seconds:g} s\n".encode())

    def _ttl_seconds(self, request: Request) -> float:
        """Return how long the push is shown: as its sender wants, at most as configured."""
        text = request.headers.get(TTL_HEADER)
        if text is None:
            return self._section.ttl_seconds
        try:
            wanted = float(text)
        except ValueError:
            wanted = math.nan
        if not wanted > 0:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"{TTL_HEADER}: expected a number > 0")
        return min(wanted, self._section.ttl_seconds)


def _job_of(path: str) -> str:
    match = _PATH.fullmatch(path)
    job = unquote(match[1]) if match else ""
    if not _JOB.fullmatch(job):
        problem = "expected /push/JOB with a job of letters, digits and _.:- of at most 100 characters"
        raise _Refused(HTTPStatus.NOT_FOUND, problem)
    return job


def _check_format(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("application/") and kind not in {
        "application/x-www-form-urlencoded",
        "application/octet-stream",
    }:
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected the text format 0.0.4, text/plain")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected a body that is not compressed")
