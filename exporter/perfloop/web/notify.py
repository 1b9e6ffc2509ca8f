"""Alertmanager's webhook for channels that only the optimizer can reach: GitHub issues."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from litestar import post
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, RawBody
from msgspec import Struct

from perfloop.errors import NotFound, PerfloopError, Rejected, Throttled, Unauthorized, Unavailable
from perfloop.model import AlertGroup
from perfloop.protocols import Notifier
from perfloop.web.metrics import OptimizerMetrics
from perfloop.web.payload import read_notification

logger = logging.getLogger(__name__)

# In threads of their own: those of the other requests are few (six on two cores), and must not wait for GitHub.
MOST_AT_ONCE = 4
REASONS = {Throttled: "throttled", Unavailable: "unavailable", Unauthorized: "unauthorized", Rejected: "rejected"}


class Told(Struct, frozen=True, kw_only=True):
    """What was done to tell of a group: `opened`, `commented`, `closed`, `reopened` or `unchanged`."""

    done: str


def telling(notifiers: Callable[[], Mapping[str, Notifier]], metrics: OptimizerMetrics) -> BaseRouteHandler:
    """Return the handler. It works before it answers: Alertmanager keeps what is not acknowledged, and sends it again.

    What may work later is 503: Alertmanager tries again at once, with growing pauses. What a person has to mend (a
    token, a repository) is 422: Alertmanager counts it as failed and tries again at the next group_interval only.
    """
    threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="notify")
    free = threading.BoundedSemaphore(MOST_AT_ONCE)

    async def tell(notifier: Notifier, group: AlertGroup) -> str:
        if not free.acquire(blocking=False):
            raise Unavailable(f"{MOST_AT_ONCE} notifications are under way")
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, notifier.notify, group)
        finally:
            free.release()

    @post("/alerts/github/{channel:str}", status_code=200)
    async def tell_github(channel: FromPath[str], body: RawBody) -> Told:
        """Open, comment, close or reopen the GitHub issue of a group of alerts (payload version 4)."""
        notifier = notifiers().get(channel)
        if notifier is None:
            raise NotFound(f"there is no GitHub channel {channel!r} in perfloop.yml")
        metrics.notifications.labels(channel).inc()
        try:
            group = read_notification(body)
            done = await tell(notifier, group)
        except PerfloopError as error:
            reason = next((word for kind, word in REASONS.items() if isinstance(error, kind)), "rejected")
            metrics.notifications_failed.labels(channel, reason).inc()
            logger.warning("notification failed", extra={"channel": channel, "reason": reason, "error": str(error)})
            raise
        logger.info("notified", extra={"channel": channel, "done": done, "group": dict(group.labels)})
        return Told(done=done)

    return tell_github
