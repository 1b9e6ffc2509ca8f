"""The HTTP API of the optimizer. Everything below /api asks for the bearer token; /metrics and /-/ do not."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from litestar import Litestar, MediaType, Response, Router, get, post
from litestar.connection import ASGIConnection, Request
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, RawBody
from litestar.types import Guard
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from perfloop import __version__
from perfloop.errors import ConfigInvalid, NotFound, NotNow, PerfloopError, Rejected, Unavailable
from perfloop.model import Execution, Receipt, RecordedDecision
from perfloop.protocols import Clock, History, Notifier, Steering, Store
from perfloop.web.client import ActionDetail
from perfloop.web.history import remembering
from perfloop.web.metrics import OptimizerMetrics
from perfloop.web.notify import telling
from perfloop.web.payload import read_notification

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
_STATUS = {NotFound: 404, NotNow: 409, Rejected: 422, ConfigInvalid: 422, Unavailable: 503}

AnyRequest = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="At most so many, newest first.")]


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request failed, in one sentence."""

    detail: str


class Reason(Struct, frozen=True, kw_only=True):
    """Why acting is paused."""

    reason: str = "paused by hand"


class Status(Struct, frozen=True, kw_only=True):
    """What the optimizer is doing."""

    version: str
    paused: str | None
    active: list[Execution]


class Api:
    """Builds the application from its parts; the handlers are closures over them."""

    def __init__(
        self,
        *,
        store: Store,
        steering: Steering,
        metrics: OptimizerMetrics,
        token: Callable[[], str],
        reload: Callable[[], None],
        notifiers: Callable[[], Mapping[str, Notifier]] = dict,
        history: Callable[[], History] | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._store, self._steering, self._metrics = store, steering, metrics
        self._history = history
        self._token, self._reload, self._notifiers, self._clock = token, reload, notifiers, clock

    def build(self) -> Litestar:
        """Return the ASGI application."""
        api = Router(
            "/api/v1",
            route_handlers=[self._alerts(), telling(self._notifiers, self._metrics), *self._reading(), *self._steer()],
            guards=[self._guard()],
            security=[{"token": []}],
        )
        return Litestar(
            [api, *self._operation()],
            exception_handlers=self._errors(),
            request_max_body_size=MAX_BODY_BYTES,
            openapi_config=OpenAPIConfig(
                title="perfloop optimizer",
                version=__version__,
                path="/schema",
                use_handler_docstrings=True,
                components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
            ),
            logging_config=None,
        )

    def _guard(self) -> Guard:
        # A closure, as Litestar copies what it is given, and a method would take this whole object along.
        def authorise(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
            del handler
            scheme, _, given = connection.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token().encode()):
                raise NotAuthorizedException("expected the header: Authorization: Bearer TOKEN")

        return authorise

    # -- Alertmanager's webhook ----------------------------------------------------------------------------------------

    def _alerts(self) -> BaseRouteHandler:
        @post("/alerts", status_code=202, sync_to_thread=True)
        def receive_alerts(body: RawBody) -> Receipt:
            """Store a notification of Alertmanager (payload version 4); it is on disk when the answer comes."""
            began = time.perf_counter()
            group = read_notification(body)
            receipt = self._store.receive(group.alerts, now=self._clock())
            self._steering.wake()
            for result, count in msgspec.structs.asdict(receipt).items():
                self._metrics.alerts.labels(result).inc(count)
            if group.truncated:
                self._metrics.truncated.inc(group.truncated)
                logger.warning("alertmanager cut alerts off; set max_alerts to 0", extra={"alerts": group.truncated})
            self._metrics.delivery_seconds.observe(time.perf_counter() - began)
            return receipt

        return receive_alerts

    # -- reading -------------------------------------------------------------------------------------------------------

    def _reading(self) -> list[BaseRouteHandler]:
        @get("/status", sync_to_thread=True)
        def status() -> Status:
            """Return what is at work, and whether acting is paused."""
            active = [_slim(execution) for execution in self._store.executions(active=True)]
            return Status(version=__version__, paused=self._store.paused(), active=active)

        @get("/actions", sync_to_thread=True)
        def list_actions(limit: Limit = 50, component: FromQuery[str | None] = None) -> list[Execution]:
            """Return executions, newest first, without their samples."""
            return [_slim(execution) for execution in self._store.executions(limit=limit, component=component)]

        @get("/actions/{action_id:str}", sync_to_thread=True)
        def show_action(action_id: FromPath[str]) -> ActionDetail:
            """Return one execution with its samples and its history."""
            execution = self._store.execution(action_id)
            return ActionDetail(execution=execution, log=self._store.log(execution.id))

        @get("/decisions", sync_to_thread=True)
        def list_decisions(limit: Limit = 50) -> list[RecordedDecision]:
            """Return decisions, newest first; refusals say why."""
            return self._store.decisions(limit=limit)

        measured = [remembering(self._history)] if self._history is not None else []
        return [status, list_actions, show_action, list_decisions, *measured]

    # -- steering ------------------------------------------------------------------------------------------------------

    def _steer(self) -> list[BaseRouteHandler]:
        @post("/actions/{action_id:str}/approve", status_code=200, sync_to_thread=True)
        def approve(action_id: FromPath[str]) -> Execution:
            """Let an action that waits for approval begin."""
            return _slim(self._steering.approve(action_id))

        @post("/actions/{action_id:str}/reject", status_code=200, sync_to_thread=True)
        def reject(action_id: FromPath[str]) -> Execution:
            """Cancel an action that waits for approval."""
            return _slim(self._steering.reject(action_id))

        @post("/actions/{action_id:str}/rollback", status_code=200, sync_to_thread=True)
        def rollback(action_id: FromPath[str]) -> Execution:
            """Undo what an action changed."""
            return _slim(self._steering.rollback(action_id))

        @post("/actions/{action_id:str}/release", status_code=200, sync_to_thread=True)
        def release(action_id: FromPath[str]) -> Execution:
            """Accept what stands at a locked component, so that policies may act on it again."""
            return _slim(self._steering.release(action_id))

        @post("/pause", status_code=200, sync_to_thread=True)
        def pause(data: JSONBody[Reason]) -> Reason:
            """Begin no change from now on; what has been changed already is judged and, if need be, undone."""
            self._store.pause(data.reason)
            return data

        @post("/resume", status_code=200, sync_to_thread=True)
        def resume() -> Status:
            """Begin new actions again."""
            self._store.pause(None)
            self._steering.wake()
            return Status(version=__version__, paused=None, active=[])

        return [approve, reject, rollback, release, pause, resume]

    # -- operation -----------------------------------------------------------------------------------------------------

    def _operation(self) -> list[BaseRouteHandler]:
        @get("/", media_type=MediaType.HTML, include_in_schema=False)
        async def landing() -> str:
            return _LANDING

        @get("/metrics", sync_to_thread=True, include_in_schema=False)
        def own_metrics() -> Response[bytes]:
            return Response(generate_latest(self._metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

        @get("/-/healthy", media_type=MediaType.TEXT, include_in_schema=False)
        async def healthy() -> str:
            return "perfloop optimizer is healthy.\n"

        @get("/-/ready", media_type=MediaType.TEXT, sync_to_thread=True, include_in_schema=False)
        def ready() -> str:
            self._store.paused()
            return "perfloop optimizer is ready.\n"

        @post("/-/reload", status_code=200, media_type=MediaType.TEXT, sync_to_thread=True, guards=[self._guard()])
        def reload() -> str:
            """Read perfloop.yml again; a broken file leaves the running configuration in force."""
            self._reload()
            return "reloaded\n"

        return [landing, own_metrics, healthy, ready, reload]

    def _errors(self) -> dict[int | type[Exception], Callable[[AnyRequest, Any], Response[Any]]]:
        def known(request: AnyRequest, error: PerfloopError) -> Response[Problem]:
            status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
            return answer(request, status, str(error))

        def http(request: AnyRequest, error: HTTPException) -> Response[Problem]:
            return answer(request, error.status_code, error.detail)

        def unforeseen(request: AnyRequest, error: Exception) -> Response[Problem]:
            logger.error("request failed", exc_info=error, extra={"path": request.url.path})
            return answer(request, 500, "an error inside the optimizer; its log has more")

        def answer(request: AnyRequest, status: int, detail: str) -> Response[Problem]:
            if request.url.path == "/api/v1/alerts":
                self._metrics.refused.labels(str(status)).inc()
                logger.warning("delivery refused", extra={"status": status, "reason": detail})
            return Response(Problem(detail=detail), status_code=status)

        return {PerfloopError: known, HTTPException: http, Exception: unforeseen}


def _slim(execution: Execution) -> Execution:
    return msgspec.structs.replace(execution, baseline=None)


_LANDING = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>perfloop optimizer</title></head>
<body><h1>perfloop optimizer</h1><p>Version {__version__}</p>
<ul><li><a href="/metrics">Metrics</a></li><li><a href="/schema">API</a></li>
<li><a href="/-/healthy">Health</a></li><li><a href="/-/ready">Readiness</a></li></ul></body></html>
"""
