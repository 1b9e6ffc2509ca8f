"""Names that must exist: the mistake, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from perfloop.config.reader import Document


def check_known(document: Document, path: str, name: str, known: Iterable[str], what: str) -> None:
    """Report a name that is not among the known ones, with the nearest of them."""
    names = list(known)
    if name in names:
        return
    close = difflib.get_close_matches(name, names, n=1)
    hint = (
        f"did you mean {close[0]}?"
        if close
        else f"expected one of {', '.join(sorted(names)) or 'none, as none is configured'}"
    )
    document.report(path, f"there is no {what} {name!r}; {hint}")
