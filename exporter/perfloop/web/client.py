"""The optimizer's HTTP API as a client sees it: typed answers, and errors that say what to do."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import requests
from msgspec import Struct

from perfloop.errors import PerfloopError, Rejected, Unavailable
from perfloop.model import Execution, LogEntry, RecordedDecision

T = TypeVar("T")


class ActionDetail(Struct, frozen=True, kw_only=True):
    """One execution with its history."""

    execution: Execution
    log: list[LogEntry]


class OptimizerClient:
    """Asks one optimizer. Raises Unavailable when none answers, and Rejected with what it answered."""

    def __init__(self, address: str, *, token: str, timeout_seconds: float = 10.0) -> None:
        self._url = f"http://{address}"
        self._timeout_seconds = timeout_seconds
        self._session = requests.Session()
        self._session.headers["authorization"] = f"Bearer {token}"

    def actions(self, *, limit: int = 50, component: str | None = None) -> list[Execution]:
        """Return executions, newest first."""
        parameters = {"limit": str(limit)} | ({"component": component} if component else {})
        return self._get("actions", list[Execution], parameters)

    def action(self, action_id: str) -> ActionDetail:
        """Return one execution with its samples and history."""
        return self._get(f"actions/{_checked(action_id)}", ActionDetail)

    def decisions(self, *, limit: int = 50) -> list[RecordedDecision]:
        """Return decisions, newest first."""
        return self._get("decisions", list[RecordedDecision], {"limit": str(limit)})

    def steer(self, action_id: str, verb: str) -> Execution:
        """Approve, reject, rollback or release an action, and return it as it is then."""
        return msgspec.json.decode(self._ask("POST", f"actions/{_checked(action_id)}/{verb}"), type=Execution)

    def pause(self, reason: str) -> None:
        """Begin no new actions."""
        self._ask("POST", "pause", body={"reason": reason})

    def resume(self) -> None:
        """Begin new actions again."""
        self._ask("POST", "resume")

    def _get(self, path: str, kind: type[T], parameters: dict[str, str] | None = None) -> T:
        return msgspec.json.decode(self._ask("GET", path, parameters=parameters), type=kind)

    def _ask(
        self, method: str, path: str, *, parameters: dict[str, str] | None = None, body: object | None = None
    ) -> bytes:
        try:
            response = self._session.request(
                method,
                f"{self._url}/api/v1/{path}",
                params=parameters,
                json=body,
                timeout=self._timeout_seconds,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise Unavailable(f"no optimizer answers at {self._url}; start it with: perfloop optimizer") from error
        if response.status_code >= requests.codes.bad_request:
            raise Rejected(_detail(response))
        return response.content


def _checked(action_id: str) -> str:
    if not action_id.isalnum():
        raise PerfloopError(f"{action_id!r} is not an id; see: perfloop actions list")
    return action_id


def _detail(response: requests.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}: {response.text[:200]}"
