"""Probes and pushes, imported when they are configured or first asked for: most exporters never are."""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from perfloop.config import read_secret
from perfloop.config.schema import Collectors
from perfloop.exposition.http import MAX_BODY_BYTES, Request, Response
from perfloop.exposition.server import Deferred

if TYPE_CHECKING:
    from perfloop.app.probe import Probing
    from perfloop.app.push import Pushing
    from perfloop.collectors.others.pushes import PushStore

# The second one is where clients of the Pushgateway push to.
_PUSH_PATHS = ("/push/", "/metrics/job/")


class Extras:
    """Answers /probe and pushes as the sections say that were given last."""

    def __init__(self, *, base: Path, environ: Mapping[str, str], wake: Callable[[], None]) -> None:
        self._base, self._environ, self._wake = base, environ, wake
        self._sections = Collectors()
        self._probing: Probing | None = None
        self._pushing: Pushing | None = None

    def replace(self, sections: Collectors) -> None:
        """Take over another configuration. Raises ConfigInvalid, and then keeps the old one."""
        token = self._token(sections)
        if self._probing is not None or sections.probe.modules:
            self._prober().replace(sections.probe, base=self._base, environ=self._environ)
        if self._pushing is not None or token is not None:
            self._pusher().replace(sections.push, token=token)
        self._sections = sections

    def store(self, sections: Collectors) -> PushStore | None:
        """Return what jobs pushed, which outlives every configuration, if something was or may be."""
        wanted = self._pushing is not None or sections.push.token is not None or sections.textfile.folders
        return self._pusher().store if wanted else None

    def probe(self, request: Request) -> Response | Deferred:
        """Answer /probe. Raises QueryInvalid."""
        return self._prober().answer(request)

    def push(self, request: Request) -> Response:
        """Answer a path to push to."""
        return self._pusher().answer(request)

    def pushes_to(self, path: str) -> bool:
        """Say whether a path is one to push to."""
        return path.startswith(_PUSH_PATHS)

    def body_limit(self, path: str) -> int:
        """Return how many bytes a request to a path may bring."""
        return self._pusher().body_limit(path) if self.pushes_to(path) else MAX_BODY_BYTES

    def _prober(self) -> Probing:
        if self._probing is None:
            from perfloop.app.probe import Probing

            probing = Probing(notify=self._wake)
            probing.replace(self._sections.probe, base=self._base, environ=self._environ)
            self._probing = probing
        return self._probing

    def _pusher(self) -> Pushing:
        if self._pushing is None:
            from perfloop.app.push import Pushing
            from perfloop.collectors.others.pushes import PushStore

            self._pushing = Pushing(PushStore(), self._sections.push, token=self._token(self._sections))
        return self._pushing

    def _token(self, sections: Collectors) -> str | None:
        token = sections.push.token
        return read_secret(token, base=self._base, environ=self._environ) if token else None
