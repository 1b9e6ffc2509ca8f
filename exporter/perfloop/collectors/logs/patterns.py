"""Whether a regular expression of the user's is safe to run on lines and bodies that strangers can shape.

`re` backtracks: `(a+)+` takes for ever on 40 bytes, `.*,.*` the square of the line's length, and nothing can interrupt
it, nor can another thread run meanwhile. So an expression may hold no repetition within a repetition, and none that can
match what comes after it: then each line is read once. `[^ ]+ "[^"]*" [0-9]+` is one, and `*+` makes one.

A search begins anew at each byte. So what it reads must be short, or begin where only one of them can: `"[^"]*"`.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from perfloop.collectors.logs.formats import FIELDS

# In how many ways repetitions may match that are able to match what follows them: each `?` doubles them.
_MAX_WAYS = 16
_MAX_WAYS_OF_SEARCH = 128
# How many bytes may be read from each byte of a body, again for each of the ways.
_MAX_STEPS = 1024
_MAX_COPIES = 20
_ALL = frozenset(range(256))
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
_REFUSED = (op.GROUPREF, op.GROUPREF_EXISTS, op.ASSERT, op.ASSERT_NOT)
_CATEGORIES = {op.CATEGORY_DIGIT: rb"\d", op.CATEGORY_SPACE: rb"\s", op.CATEGORY_WORD: rb"\w"}
_CATEGORIES |= {op.CATEGORY_NOT_DIGIT: rb"\D", op.CATEGORY_NOT_SPACE: rb"\S", op.CATEGORY_NOT_WORD: rb"\W"}
Item = tuple[Any, Any]


def fault(text: str) -> str | None:
    """Say what is wrong with an expression, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled, tree = re.compile(text.encode()), _parser.parse(text.encode())
            unknown = sorted(set(compiled.groupindex) - set(FIELDS))
            if unknown:
                return f"there is no field {unknown[0]!r}; expected groups named {', '.join(FIELDS)}"
            if "status" not in compiled.groupindex:
                return "expected a group named status, like (?P<status>[0-9]+)"
            return "flags are not allowed" if tree.state.flags else _danger(list(tree))
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"


def search_fault(text: str) -> str | None:
    """Say what is wrong with an expression that is searched for in bytes, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text.encode())
            tree = _parser.parse(text.encode())
            if tree.state.flags & ~(re.IGNORECASE | re.MULTILINE | re.DOTALL):
                return "of flags, only those in (?ims) are allowed"
            folded, many_lines = (bool(tree.state.flags & flag) for flag in (re.IGNORECASE, re.MULTILINE))
            items = list(tree)
            problem = _danger(items, folded=folded, max_ways=_MAX_WAYS_OF_SEARCH)
            return problem or _search_danger(items, folded=folded, many_lines=many_lines)
    except (re.error, OverflowError, RecursionError) as error:
        return f"expected a regular expression, got {text!r}: {error}"


def _search_danger(items: Sequence[Item], *, folded: bool, many_lines: bool) -> str | None:
    anchors = [(op.AT, op.AT_BEGINNING_STRING), *([] if many_lines else [(op.AT, op.AT_BEGINNING)])]
    if items and items[0] in anchors:
        return None
    reach = 0
    for repeat, before in _all_repetitions([_mirrored(*item) for item in reversed(items)], []):
        body = list(repeat[1][2])
        bounded = not all(_may_be_empty(*item) for item in before) and not _meet(_bytes(body), _first(before), folded)
        reach += 0 if bounded else repeat[1][1] * _width(body)
    ambiguous = _ambiguous(items, folded=folded)
    others = max(0, reach - sum(value[1] * _width(value[2]) for _, value in ambiguous))
    if _ways(ambiguous) * (1 + others) <= _MAX_STEPS:
        return None
    return (
        "a search begins at every byte, so a repetition must come right after something that it cannot match, as in"
        ' "[^"]*", or be short, like [^<]{0,99}'
    )


def _danger(items: Sequence[Item], *, folded: bool = False, max_ways: int = _MAX_WAYS) -> str | None:
    everything = list(_all(items))
    if any(kind in _REFUSED or (kind is op.SUBPATTERN and value[1]) for kind, value in everything):
        return "back references, look-arounds and flags are not allowed, as strangers shape the lines"
    for kind, value in everything:
        many = kind in _REPEATS and value[1] > 1 and (value[0] != value[1] or value[1] > _MAX_COPIES)
        if many and _varies(list(value[2])):
            return "a repetition within a repetition is not allowed, as some line would take it for ever"
    if _ways(_ambiguous(items, folded=folded)) > max_ways:
        return (
            "no repetition may be able to match what follows it, like .* does; [^ ]* before a blank, or [^ ]*+, cannot"
        )
    return None


def _ambiguous(items: Sequence[Item], *, folded: bool) -> list[Item]:
    return [repeat for repeat, after in _repetitions(items, []) if _is_ambiguous(repeat, after, folded=folded)]


def _ways(repetitions: Sequence[Item]) -> int:
    return math.prod(value[1] - value[0] + 1 for _, value in repetitions)


def _all(items: Sequence[Item]) -> Iterator[Item]:
    for kind, value in items:
        yield (kind, value)
        for body in _bodies(kind, value):
            yield from _all(body)


def _bodies(kind: Any, value: Any) -> list[list[Item]]:  # noqa: ANN401 - what `re` makes of it
    if kind is op.SUBPATTERN:
        return [list(value[3])]
    if kind is op.ATOMIC_GROUP:
        return [list(value)]
    if kind in _REPEATS:
        return [list(value[2])]
    return [list(branch) for branch in value[1]] if kind is op.BRANCH else []


def _varies(body: Sequence[Item]) -> bool:
    """Say whether what is repeated can itself match in several ways."""
    return any(kind is op.BRANCH or (kind in _REPEATS and value[0] != value[1]) for kind, value in _all(body))


def _repetitions(items: Sequence[Item], after: Sequence[Item]) -> Iterator[tuple[Item, Sequence[Item]]]:
    """Return each repetition whose number varies, and what follows it; those in `{3}` three times."""
    for i, item in enumerate(items):
        kind, value = item
        following, copies = [*items[i + 1 :], *after], 1
        if kind in _REPEATS and value[0] != value[1]:
            yield item, following
        elif kind in _REPEATS:
            copies = value[1]
        for body in _bodies(kind, value):
            found = list(_repetitions(body, [*body, *following] if copies > 1 else following))
            yield from found * copies


def _all_repetitions(items: Sequence[Item], after: Sequence[Item]) -> Iterator[tuple[Item, Sequence[Item]]]:
    """Return each repetition, also those whose number is fixed, and what follows it."""
    for i, item in enumerate(items):
        following = [*items[i + 1 :], *after]
        repeats = item[0] in _REPEATS
        if repeats:
            yield item, following
        for body in _bodies(*item):
            yield from _all_repetitions(body, [*body, *following] if repeats and item[1][1] > 1 else following)


def _is_ambiguous(repeat: Item, following: Sequence[Item], *, folded: bool) -> bool:
    """Say whether a repetition can match the beginning of what comes after it."""
    kind, value = repeat
    return kind is not op.POSSESSIVE_REPEAT and _meet(_first(list(value[2])), _first(following), folded)


def _meet(some: frozenset[int], others: frozenset[int], folded: bool) -> bool:  # noqa: FBT001 - whether case is ignored
    if folded:
        some |= {byte for each in some for byte in bytes([each]).swapcase()}
    return bool(some & others)


def _mirrored(kind: Any, value: Any) -> Item:  # noqa: ANN401 - what `re` makes of it
    """Return what matches the same bytes in the opposite order."""
    bodies = [[_mirrored(*item) for item in reversed(body)] for body in _bodies(kind, value)]
    if kind is op.SUBPATTERN:
        return kind, (*value[:3], bodies[0])
    if kind is op.ATOMIC_GROUP:
        return kind, bodies[0]
    if kind in _REPEATS:
        return kind, (*value[:2], bodies[0])
    return (kind, (None, bodies)) if kind is op.BRANCH else (kind, value)


def _bytes(items: Sequence[Item]) -> frozenset[int]:
    """Return all bytes that may stand in what some items match."""
    return frozenset().union(*(_first_of(*item) for item in _all(items) if item[0] is not op.AT))


def _width(items: Sequence[Item]) -> int:
    """Return how many bytes some items can match, at most."""
    return sum(_width_of(kind, value) for kind, value in items)


def _width_of(kind: Any, value: Any) -> int:  # noqa: ANN401 - what `re` makes of it
    bodies = _bodies(kind, value)
    if not bodies:
        return 0 if kind is op.AT else 1
    return max(map(_width, bodies)) * (value[1] if kind in _REPEATS else 1)


def _first(items: Sequence[Item]) -> frozenset[int]:
    """Return the bytes with which items in a row can begin; none if they can only be empty."""
    found = frozenset[int]()
    for kind, value in items:
        if kind is op.AT:
            continue
        found |= _first_of(kind, value)
        if not _may_be_empty(kind, value):
            return found
    return found


def _first_of(kind: Any, value: Any) -> frozenset[int]:  # noqa: ANN401 - what `re` makes of it
    if kind is op.LITERAL:
        return frozenset([value])
    if kind is op.NOT_LITERAL:
        return _ALL - {value}
    if kind is op.IN:
        return _class(value)
    bodies = _bodies(kind, value)
    return frozenset().union(*map(_first, bodies)) if bodies else _ALL


def _may_be_empty(kind: Any, value: Any) -> bool:  # noqa: ANN401 - what `re` makes of it
    if kind is op.AT or (kind in _REPEATS and value[0] == 0):
        return True
    bodies = _bodies(kind, value)
    return any(all(_may_be_empty(*item) for item in body) for body in bodies)


def _class(members: Sequence[Item]) -> frozenset[int]:
    found: set[int] = set()
    for kind, value in members:
        if kind is op.LITERAL:
            found.add(value)
        elif kind is op.RANGE:
            found.update(range(value[0], value[1] + 1))
        elif kind is op.CATEGORY:
            found.update(b for b in range(256) if re.match(_CATEGORIES[value], bytes([b])))
    return _ALL - found if members and members[0][0] is op.NEGATE else frozenset(found)
