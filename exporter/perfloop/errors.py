"""The tree of errors.

* PerfloopError: everything perfloop raises on purpose
    * ConfigInvalid: perfloop.yml has mistakes; carries all of them, each with its place
    * ActionRefused: this action must not be done; the message says why, in the words of the configuration
    * Conflict: what stands there is neither what was before nor what we wrote; a person has to look
    * Temporary: it may work later
        * Unavailable: the other system does not answer; nothing was changed
            * Throttled: it answers, and asks to be left alone for a while; carries for how long
        * Paused: a person has stopped new actions
        * OutcomeUnknown: a write was sent and no answer came; only a probe can tell what happened
    * Rejected: the other system answered, and the answer was no; nothing was changed
        * Unauthorized: because of who asks; the token is wrong, or may not do this
    * NotFound: there is no such thing in the store
    * Stale: somebody else changed the row meanwhile; read it again
    * NotNow: this cannot be asked of an execution in its present state
    * QueryInvalid: a request asks the exporter for something that does not exist; the message says what does
    * StackFailed: a child process, a port or a binary is missing or broken
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class PerfloopError(Exception):
    """Base of everything that perfloop raises on purpose."""


class ConfigInvalid(PerfloopError):
    """The configuration has mistakes; `problems` holds one line for each: file, line, path and what was expected."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class ActionRefused(PerfloopError):
    """The action must not be done; the message says why."""


class Conflict(PerfloopError):
    """A value is neither the recorded one from before nor the one we wrote; it is left alone."""


class Temporary(PerfloopError):
    """It may work later."""


class Unavailable(Temporary):
    """The other system does not answer; nothing was changed."""


class Throttled(Unavailable):
    """The other system asks for fewer requests, and for none in the next `retry_seconds`."""

    def __init__(self, message: str, *, retry_seconds: float) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class Paused(Temporary):
    """A person has stopped new actions; the message says why."""


class OutcomeUnknown(Temporary):
    """A write was sent and its answer was lost; only a probe can tell whether it happened."""


class Rejected(PerfloopError):
    """The other system understood and refused; nothing was changed."""


class Unauthorized(Rejected):
    """The other system does not know the token, or the token may not do what was asked."""


class NotFound(PerfloopError):
    """The store holds nothing under this id."""


class Stale(PerfloopError):
    """Somebody else changed the row meanwhile; nothing was written."""


class NotNow(PerfloopError):
    """The execution is in a state in which this cannot be asked of it."""


class StackFailed(PerfloopError):
    """A child process, its port or its binary is missing or broken."""


class QueryInvalid(PerfloopError):
    """A request asks for what does not exist here; the message says what does."""
