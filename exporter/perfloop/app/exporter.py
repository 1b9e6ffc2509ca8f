"""The exporter process: configuration → collectors → guard → page → HTTP."""

from __future__ import annotations

import logging
import os
import socket
import time
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from msgspec.structs import replace

from perfloop.app.collectors import build_collectors, check_unique
from perfloop.app.listener import inherited, listen_on_all, name_of
from perfloop.app.options import ExporterOptions
from perfloop.app.probe import Probing
from perfloop.app.push import Pushing
from perfloop.app.recipe import Recipe
from perfloop.app.routes import HEALTH, Routes
from perfloop.app.scrape import Scraping
from perfloop.app.web_file import WebFile
from perfloop.collectors.exporter import ExporterCollector, State
from perfloop.collectors.guard import Guard
from perfloop.collectors.pushes import PushStore
from perfloop.collectors.watch import Watch
from perfloop.config import Config, parse, read_secret
from perfloop.config.reader import read_text
from perfloop.errors import ConfigInvalid
from perfloop.exposition.access import Access
from perfloop.exposition.http import Request, Response
from perfloop.exposition.server import Server
from perfloop.protocols import Clock

logger = logging.getLogger(__name__)


class Exporter:
    """The running exporter. `serve` blocks until `stop`; `reload` swaps the configuration in."""

    def __init__(
        self,
        config_file: Path,
        *,
        base: Path,
        environ: Mapping[str, str],
        options: ExporterOptions | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._file, self._base, self._environ, self._clock = config_file, base, environ, clock
        self._options = options or ExporterOptions()
        self._watches: list[tuple[Recipe, Watch]] = []
        self._pushed = PushStore()
        self._reload_is_due = False
        config, self._last_reload = self._load()
        self._web = WebFile(self._options.web_config)
        self._guard = Guard(notify=self._wake)
        self._probing = Probing(notify=self._wake)
        self._pushing = Pushing(self._pushed)
        self._configure(config)
        self._access = Access(self._routes(), config=self._web.config, wake=self._wake, open_paths=HEALTH)
        listeners = self._listen(config)
        self.addresses = [name_of(listener) for listener in listeners]
        self._server = Server(
            listeners,
            self._access,
            body_limit=self._pushing.body_limit,
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
            self._server.call_soon(self._reload)

    def _wake(self) -> None:
        self._server.wake()

    def _listen(self, config: Config) -> list[socket.socket]:
        if self._options.systemd_socket:
            return inherited(self._environ, process_id=os.getpid())
        return listen_on_all(*(self._options.addresses or [config.web.exporter_address]))

    def _routes(self) -> Routes:
        return Routes(
            self._options.telemetry_path,
            scrape=Scraping(self._guard).answer,
            probe=self._probing.answer,
            reload=self._answer_reload,
            push=self._pushing.answer,
            pushes_to=self._pushing.matches,
        )

    def _reload(self) -> None:
        self._reload_is_due = False
        self._web.reload()
        try:
            config, state = self._load()
            self._configure(config)
        except ConfigInvalid as error:
            self._last_reload = replace(self._last_reload, successful=False)
            logger.error("reload failed; the running configuration stays", extra={"problems": error.problems})  # noqa: TRY400
            return
        except Exception:
            # Nobody foresaw this one; who called logs it, and the running configuration stays here, too.
            self._last_reload = replace(self._last_reload, successful=False)
            raise
        self._last_reload = state
        logger.info("configuration reloaded")

    def _load(self) -> tuple[Config, State]:
        missing = self._options.may_be_missing and not self._file.exists()
        text = "" if missing else read_text(self._file)
        config = parse(text, name=str(self._file))
        return config, State(successful=True, succeeded_at=self._clock(), config_crc=zlib.crc32(text.encode()))

    def _configure(self, config: Config) -> None:
        """Watch what the configuration asks for; what ran before with the same arguments goes on. All or nothing."""
        options, push = self._options, config.collectors.push
        recipes = [
            Recipe(ExporterCollector, self._state),
            *build_collectors(
                config,
                base=self._base,
                environ=self._environ,
                paths=options.paths,
                compat=options.compat,
                store=self._pushed,
            ),
        ]
        kept = [next((watch for old, watch in self._watches if old == recipe), None) for recipe in recipes]
        sources = [watch.source if watch else recipe.make() for recipe, watch in zip(recipes, kept, strict=True)]
        check_unique(sources)
        token = read_secret(push.token, base=self._base, environ=self._environ) if push.token else None
        self._probing.replace(config.collectors.probe, base=self._base, environ=self._environ)
        # From here on nothing fails.
        self._pushing.replace(push, token=token)
        watches = [watch or Watch(source) for source, watch in zip(sources, kept, strict=True)]
        for watch in watches:
            watch.budget_seconds = config.collectors.budget_seconds(watch.source.name)
            watch.max_series = config.collectors.max_series_per_family
        self._watches = list(zip(recipes, watches, strict=True))
        self._guard.replace(watches)

    def _state(self) -> State:
        return replace(self._last_reload, web_successful=self._web.successful)

    def _answer_reload(self, request: Request) -> Response:
        del request
        self._reload()
        if self._last_reload.successful and self._web.successful:
            return Response(body=b"reloaded\n")
        # Who may ask for a reload need not be who may read the configuration: its mistakes are in the log.
        body = b"the configuration has mistakes, which the log says; the running one stays\n"
        return Response(status=HTTPStatus.INTERNAL_SERVER_ERROR, body=body)
