"""One HTTP exchange with another system: a bound on how long the whole answer may take, and on how large it may be."""

from __future__ import annotations

import time
from collections.abc import Mapping

import requests
import urllib3
from msgspec import Struct

from perfloop.errors import Rejected, Unavailable

LARGEST_ANSWER_BYTES = 32 * 1024 * 1024


class Answer(Struct, frozen=True, kw_only=True):
    """What came back, whatever its status; names of headers are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def exchange(
    session: requests.Session,
    method: str,
    url: str,
    *,
    who: str,
    timeout_seconds: float,
    form: Mapping[str, str] | None = None,
    json: object | None = None,
    redirects: bool = True,
) -> Answer:
    """Send one request. Raises Unavailable, in which `who` is named, when there is no whole answer in time.

    The deadline is for the whole answer: requests' own timeout restarts with each byte. `read1` returns what has
    come; `iter_content` would wait for a full chunk. Raises Rejected if the answer is too large.
    """
    deadline = time.monotonic() + timeout_seconds
    try:
        with session.request(
            method, url, data=form, json=json, timeout=timeout_seconds, stream=True, allow_redirects=redirects
        ) as response:
            body = bytearray()
            while chunk := response.raw.read1(65536, decode_content=True):
                body += chunk
                if time.monotonic() > deadline:
                    raise Unavailable(f"{who} took over {timeout_seconds:g} s to answer")
                if len(body) > LARGEST_ANSWER_BYTES:
                    raise Rejected(f"the answer of {who} is over {LARGEST_ANSWER_BYTES} bytes")
            return Answer(status=response.status_code, headers=response.headers, body=bytes(body))
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise Unavailable(f"{who} gave no answer in {timeout_seconds:g} s") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Unavailable(f"{who} does not answer: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    """Return the innermost reason: requests and urllib3 wrap `Connection refused` three times."""
    if isinstance(reason := getattr(error, "reason", None), BaseException):
        return _cause(reason)
    wrapped = [arg for arg in error.args if isinstance(arg, BaseException)]
    return _cause(wrapped[-1]) if wrapped else str(error).rpartition(": ")[2]
