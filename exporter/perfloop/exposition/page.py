"""Pages from samples: each family once, with its header, whichever collectors it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import NamedTuple, cast

from perfloop.exposition.block import pairs
from perfloop.exposition.text import header, openmetrics_header
from perfloop.model import Family
from perfloop.protocols import Samples, Sheet

# Plans that are remembered: one for each choice of collectors, and new ones when files of others bring new families.
_MAX_PLANS = 64
Key = Family | tuple[Family, ...]


def render_page(samples: Samples, *, openmetrics: bool = False) -> bytes:
    """Join the samples into a page.

    A sheet whose families nobody else has becomes lines at once; all else is put together family by family.
    """
    pieces = list(samples)
    alone, shared = _plan([piece[0] if isinstance(piece, tuple) else piece.layout.families for piece in pieces])
    sheets = cast("Iterator[Sheet]", compress(pieces, alone))
    parts = [sheet.layout.whole[openmetrics] % sheet.tokens for sheet in sheets]
    if any(shared):
        parts += _merged(compress(pieces, shared), openmetrics=openmetrics)
    if openmetrics:
        parts.append(b"# EOF\n")
    return b"".join(parts)


def pairs_of(samples: Samples) -> Iterator[tuple[Family, bytes]]:
    """Return the lines of each family, without headers, in the order of the samples."""
    for piece in samples:
        if isinstance(piece, tuple):
            yield piece
        else:
            yield from pairs(piece)


def _merged(samples: Samples, *, openmetrics: bool) -> Iterator[bytes]:
    head = openmetrics_header if openmetrics else header
    families: dict[str, list[bytes]] = {}
    for family, lines in pairs_of(samples):
        if lines:
            families.setdefault(family.name, [head(family)]).append(lines)
    for parts in families.values():
        yield from parts


class _Plan(NamedTuple):
    """Of each piece: whether it is a sheet whose families are in no other, and whether it is not."""

    alone: Sequence[bool]
    shared: Sequence[bool]


_plans: dict[tuple[int, ...], tuple[Sequence[Key], _Plan]] = {}


def _plan(keys: Sequence[Key]) -> _Plan:
    """Return the plan of a page. The same collectors bring the same keys each time."""
    identities = tuple(map(id, keys))
    known = _plans.get(identities)
    if known is None:
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        # With the keys themselves, as nothing else may get their identities meanwhile.
        known = _plans[identities] = (keys, _made(keys))
    return known[1]


def _made(keys: Sequence[Key]) -> _Plan:
    names = [[key.name] if isinstance(key, Family) else [family.name for family in key] for key in keys]
    count = Counter(name for each in names for name in each)
    alone = [
        not isinstance(key, Family) and all(count[name] == 1 for name in each)
        for key, each in zip(keys, names, strict=True)
    ]
    return _Plan(alone, [not each for each in alone])
