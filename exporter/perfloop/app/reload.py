"""Reloads of the exporter: the file is read beside the server's thread, so that scrapes go on meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from perfloop.config.apart import Reading
from perfloop.errors import ConfigInvalid
from perfloop.exposition.http import Response

logger = logging.getLogger(__name__)

_SECONDS = 70.0
_DONE = Response(body=b"reloaded\n")
# Who may ask for a reload need not be who may read the configuration: its mistakes are in the log.
_FAILED = Response(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    body=b"the configuration has mistakes, which the log says; the running one stays\n",
)


class Attempt:
    """One reload, and what those who asked for it are answered."""

    def __init__(self) -> None:
        self.deadline = time.monotonic() + _SECONDS
        self.successful: bool | None = None

    @property
    def ready(self) -> bool:
        """Whether it has ended."""
        return self.successful is not None

    def response(self) -> Response:
        """Say how it went."""
        return _DONE if self.successful else _FAILED


class Reloads:
    """One attempt at a time; all who ask meanwhile share the one after it, as the file may have changed again.

    `apply` takes a reading over, all or nothing, and may raise ConfigInvalid; `end` is told whether that went well.
    `call_soon` runs something in the server's thread, where all but `read` happens.
    """

    def __init__(
        self,
        *,
        read: Callable[[], Reading],
        apply: Callable[[Reading], None],
        end: Callable[[bool], None],
        call_soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._read, self._apply, self._end, self._call_soon = read, apply, end, call_soon
        self._running: Attempt | None = None
        self._next: Attempt | None = None

    def begin(self) -> Attempt:
        """Begin an attempt, or return the one that will come after the running one."""
        if self._running is None:
            return self._start(Attempt())
        self._next = self._next or Attempt()
        return self._next

    def _start(self, attempt: Attempt) -> Attempt:
        self._running = attempt
        try:
            threading.Thread(target=self._work, name="reload", daemon=True).start()
        except RuntimeError as error:
            # There is no thread left.
            self._finish(partial(_refuse, ConfigInvalid([str(error)])))
        return attempt

    def _work(self) -> None:
        take_over: Callable[[], None] = partial(_refuse, ConfigInvalid(["reading it ended with an error"]))
        try:
            take_over = partial(self._apply, self._read())
        except ConfigInvalid as error:
            take_over = partial(_refuse, error)
        finally:
            # Whatever happened: others wait for the end of this attempt.
            self._call_soon(partial(self._finish, take_over))

    def _finish(self, take_over: Callable[[], None]) -> None:
        successful = False
        try:
            take_over()
            successful = True
            logger.info("configuration reloaded")
        except ConfigInvalid as error:
            logger.error("reload failed; the running configuration stays", extra={"problems": error.problems})  # noqa: TRY400
        finally:
            self._end(successful)
            ended, self._running = self._running, None
            if ended is not None:
                ended.successful = successful
            following, self._next = self._next, None
            if following is not None:
                self._start(following)


def _refuse(error: ConfigInvalid) -> None:
    raise error
