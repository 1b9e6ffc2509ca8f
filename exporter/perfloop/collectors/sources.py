"""Several sources of the kernel as one collector: a broken one costs its own samples, an absent one nothing."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping

from perfloop.collectors.table import Garbled, Source
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples
from perfloop.model import Family
from perfloop.protocols import Piece

logger = logging.getLogger(__name__)

# Errors that mean "this kernel does not have it": no such file, device or protocol; pressure that was switched off.
_ABSENT = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP)
)


class Sources:
    """Reads one source after another; `success` says of each whether it was read and understood."""

    def __init__(self, sources: Mapping[str, Source], *, success: Family, aliases: Aliases | None = None) -> None:
        self._sources, self._labels = dict(sources), [(name,) for name in sources]
        self._healthy = dict.fromkeys(sources, True)
        self._success = Block([success], aliases=aliases)

    def read(self) -> Samples:
        """Read all sources."""
        samples: list[Piece] = []
        success: list[bytes] = []
        for name, source in self._sources.items():
            try:
                samples += source.read()
                success.append(b"1")
                self._healthy[name] = True
            except (OSError, Garbled) as error:
                absent = isinstance(error, OSError) and error.errno in _ABSENT
                success.append(b"" if absent else b"0")
                self._note(name, error, absent=absent)
        samples += self._success.render_tokens(self._labels, tuple(success))
        return samples

    def close(self) -> None:
        """Close the sources."""
        for source in self._sources.values():
            source.close()

    def _note(self, name: str, error: Exception, *, absent: bool) -> None:
        """Log when a source breaks, not each scrape from then on."""
        if self._healthy[name] and not absent:
            logger.warning("source not understood", extra={"source": name, "reason": f"{error}"})
        self._healthy[name] = absent
