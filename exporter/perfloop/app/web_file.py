"""The file of `--web.config.file` while the exporter runs: read again when it, or what it names, has changed."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from perfloop.errors import ConfigInvalid
from perfloop.exposition.transport import Transport
from perfloop.exposition.web_config import LoadedWebConfig, WebConfig
from perfloop.protocols import Clock

logger = logging.getLogger(__name__)

# Changes are looked for when somebody asks or connects, and not more often than this: nothing runs in between.
_LOOK_SECONDS = 1.0


class WebFile:
    """The settings in force. A broken file leaves the last good one in force, and `successful` says so.

    Raises ConfigInvalid if the very first one is broken. Without a file: plain HTTP for everybody.
    """

    def __init__(
        self, path: Path | None, *, clock: Clock = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._clock, self._monotonic = path, clock, monotonic
        self._loaded = _load(path) if path else LoadedWebConfig()
        self._seen = _signatures(self._loaded.files)
        self._looked_at = monotonic()
        self.successful, self.succeeded_at = True, clock()

    def config(self) -> WebConfig:
        """Return the settings, after a look whether they have changed."""
        if self._path and self._monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = self._monotonic()
            if _signatures(self._loaded.files) != self._seen:
                self.reload()
        return self._loaded.config

    def transport(self, client: socket.socket) -> Transport:
        """Carry a new client's bytes, under TLS if that is configured."""
        tls = self.config().tls_server_config
        if self._loaded.tls is None:
            return Transport(client)
        from perfloop.exposition.tls import TlsTransport  # noqa: PLC0415 - ssl is 6 MB that plain HTTP does not need

        return TlsTransport(client, self._loaded.tls, allowed_sans=frozenset(tls.client_allowed_sans))

    def reload(self) -> None:
        """Read the file and its certificates again."""
        if not self._path:
            return
        before = self._seen = _signatures(self._loaded.files)
        try:
            self._loaded = _load(self._path)
        except ConfigInvalid as error:
            self.successful = False
            logger.error("web configuration is broken; the last good one stays", extra={"problems": error.problems})  # noqa: TRY400 - its message is all there is to say
            return
        # What changes while it is read is new the next time.
        self._seen = {file: before.get(file, now) for file, now in _signatures(self._loaded.files).items()}
        self.successful, self.succeeded_at = True, self._clock()
        logger.info("web configuration reloaded")


def _load(path: Path) -> LoadedWebConfig:
    from perfloop.config.web_config import load_web_config  # noqa: PLC0415 - YAML and more, only for who has the file

    return load_web_config(path)


def _signatures(files: Iterable[Path]) -> dict[Path, tuple[int, int, int] | None]:
    return {file: _signature(file) for file in files}


def _signature(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
