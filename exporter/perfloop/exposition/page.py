"""Pages from samples: each family once, with its header, whichever collectors it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from perfloop.exposition.text import header, openmetrics_header
from perfloop.model import Family
from perfloop.protocols import Piece, Samples

# Plans that are remembered: one for each choice of collectors, and new ones when files of others bring new families.
_MAX_PLANS = 64
Key = Family | tuple[Family, ...]


def render_page(samples: Samples, *, openmetrics: bool = False) -> bytes:
    """Join the samples into a page.

    A sheet whose families nobody else has becomes lines at once; all else is put together family by family.
    """
    pieces = list(samples)
    keys = [piece[0] if isinstance(piece, tuple) else piece.families for piece in pieces]
    parts: list[bytes] = []
    shared: list[Piece] = []
    for piece, alone in zip(pieces, _plan(keys), strict=True):
        if alone and not isinstance(piece, tuple):
            parts.append(piece.page(openmetrics=openmetrics))
        else:
            shared.append(piece)
    parts += _merged(shared, openmetrics=openmetrics)
    return b"".join([*parts, b"# EOF\n"] if openmetrics else parts)


def pairs_of(samples: Samples) -> Iterator[tuple[Family, bytes]]:
    """Return the lines of each family, without headers, in the order of the samples."""
    for piece in samples:
        if isinstance(piece, tuple):
            yield piece
        else:
            yield from piece.pairs()


def _merged(samples: Samples, *, openmetrics: bool) -> Iterator[bytes]:
    head = openmetrics_header if openmetrics else header
    families: dict[str, list[bytes]] = {}
    for family, lines in pairs_of(samples):
        if lines:
            families.setdefault(family.name, [head(family)]).append(lines)
    for parts in families.values():
        yield from parts


_plans: dict[tuple[int, ...], tuple[Sequence[Key], Sequence[bool]]] = {}


def _plan(keys: Sequence[Key]) -> Sequence[bool]:
    """Say for each piece whether its families are in no other. The same collectors bring the same keys each time."""
    identities = tuple(map(id, keys))
    known = _plans.get(identities)
    if known is None:
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        # With the keys themselves, as nothing else may get their identities meanwhile.
        known = _plans[identities] = (keys, _alone(keys))
    return known[1]


def _alone(keys: Sequence[Key]) -> list[bool]:
    names = [[key.name] if isinstance(key, Family) else [family.name for family in key] for key in keys]
    count = Counter(name for each in names for name in each)
    return [all(count[name] == 1 for name in each) for each in names]
