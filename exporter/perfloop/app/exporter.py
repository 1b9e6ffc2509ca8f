"""The exporter process: configuration → collectors → guard → page → HTTP."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from perfloop.app.collectors import build_collectors, check_unique
from perfloop.app.extras import Extras
from perfloop.app.listener import inherited, listen_on_all, name_of
from perfloop.app.options import ExporterOptions
from perfloop.app.recipe import Recipe
from perfloop.app.reload import Attempt, Reloads
from perfloop.app.routes import HEALTH, Routes
from perfloop.app.scrape import Scraping
from perfloop.app.web_file import WebFile
from perfloop.collectors.exporter import ExporterCollector, State
from perfloop.collectors.guard import Guard
from perfloop.collectors.watch import Watch
from perfloop.config import Config
from perfloop.config.apart import Reading, read
from perfloop.exposition.access import Access
from perfloop.exposition.server import Server
from perfloop.protocols import Clock

logger = logging.getLogger(__name__)


class ReadFile(Protocol):
    """Reads and checks perfloop.yml. Raises ConfigInvalid."""

    def __call__(self, file: Path, *, may_be_missing: bool) -> Reading:
        """Return what stands in the file."""


class Exporter:
    """The running exporter. `serve` blocks until `stop`; `reload` swaps the configuration in."""

    def __init__(
        self,
        config_file: Path,
        *,
        base: Path,
        environ: Mapping[str, str],
        options: ExporterOptions | None = None,
        read_file: ReadFile = read,
        clock: Clock = time.time,
    ) -> None:
        self._read_file = read_file
        self._file, self._base, self._environ, self._clock = config_file, base, environ, clock
        self._options = options or ExporterOptions()
        self._watches: list[tuple[Recipe, Watch]] = []
        self._reload_is_due = False
        self._reloads = Reloads(read=self._read, apply=self._apply, end=self._end_reload, call_soon=self._call_soon)
        self._web = WebFile(self._options.web_config)
        self._guard = Guard(notify=self._wake)
        self._extras = Extras(base=base, environ=environ, wake=self._wake)
        self._state = State(successful=True, succeeded_at=clock(), config_crc=0)
        reading = self._read()
        self._apply(reading)
        self._access = Access(self._routes(), config=self._web.config, wake=self._wake, open_paths=HEALTH)
        listeners = self._listen(reading.config)
        self.addresses = [name_of(listener) for listener in listeners]
        self._server = Server(
            listeners,
            self._access,
            body_limit=self._extras.body_limit,
            transport=self._web.transport,
            headers=self._access.headers,
        )

    def serve(self) -> None:
        """Serve until stopped."""
        logger.info("listening", extra={"addresses": ", ".join(self.addresses)})
        self._server.serve()
        self._access.close()
        self._guard.close()

    def stop(self) -> None:
        """End `serve`. May come from a signal."""
        self._server.stop()

    def reload(self) -> None:
        """Read the configuration again, soon; a broken one leaves the old in force. May come from a signal."""
        # However many signals come before the server looks: once.
        if not self._reload_is_due:
            self._reload_is_due = True
            self._server.call_soon(self._begin_reload)

    def _wake(self) -> None:
        self._server.wake()

    def _call_soon(self, call: Callable[[], None]) -> None:
        self._server.call_soon(call)

    def _listen(self, config: Config) -> list[socket.socket]:
        if self._options.systemd_socket:
            return inherited(self._environ, process_id=os.getpid())
        return listen_on_all(*(self._options.addresses or [config.web.exporter_address]))

    def _routes(self) -> Routes:
        return Routes(
            self._options.telemetry_path,
            scrape=Scraping(self._guard).answer,
            probe=self._extras.probe,
            reload=lambda _: self._begin_reload(),
            push=self._extras.push,
            pushes_to=self._extras.pushes_to,
        )

    def _begin_reload(self) -> Attempt:
        self._reload_is_due = False
        self._web.reload()
        return self._reloads.begin()

    def _read(self) -> Reading:
        return self._read_file(self._file, may_be_missing=self._options.may_be_missing)

    def _apply(self, reading: Reading) -> None:
        """Take over what was read, all or nothing. Raises ConfigInvalid."""
        self._configure(reading.config)
        self._state = State(successful=True, succeeded_at=self._clock(), config_crc=reading.crc)

    def _end_reload(self, successful: bool) -> None:  # noqa: FBT001 - a callback's only argument
        self._state = replace(self._state, successful=successful)

    def _configure(self, config: Config) -> None:
        """Watch what the configuration asks for; what ran before with the same arguments goes on. All or nothing."""
        options = self._options
        recipes = [
            Recipe(ExporterCollector, self._own_state),
            *build_collectors(
                config,
                base=self._base,
                environ=self._environ,
                paths=options.paths,
                compat=options.compat,
                store=self._extras.store(config.collectors),
            ),
        ]
        kept = [next((watch for old, watch in self._watches if old == recipe), None) for recipe in recipes]
        with ExitStack() as undo:
            watches = []
            for recipe, running in zip(recipes, kept, strict=True):
                watch = running or Watch(recipe.make())
                watches.append(watch)
                if running is None:
                    undo.callback(watch.stop)
            check_unique([watch.source for watch in watches])
            self._extras.replace(config.collectors)
            # From here on nothing fails.
            undo.pop_all()
        for watch in watches:
            watch.budget_seconds = config.collectors.budget_seconds(watch.source.name)
            watch.max_series = config.collectors.max_series_per_family
        self._watches = list(zip(recipes, watches, strict=True))
        self._guard.replace(watches)

    def _own_state(self) -> State:
        return replace(self._state, web_successful=self._web.successful)
