"""Whether a running Alertmanager does what alertmanager.yml says: everything in it is there, whatever else is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from msgspec import Struct

from perfloop.rules.promql import seconds_of

# What Alertmanager shows instead of a secret.
_SECRET = "<secret>"  # noqa: S105
_WAITS = ("group_by", "group_wait", "group_interval", "repeat_interval")
_DEFAULTS: Mapping[str, Any] = {"group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h", "group_by": []}


class _Flat(Struct, frozen=True, kw_only=True):
    """One route by itself: what it waits for, its own and its parents' settings taken together."""

    receiver: str
    matchers: frozenset[str]
    waits: Mapping[str, Any]


def disagreements(ours: Mapping[str, Any], running: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what of our configuration the running one lacks or has otherwise, in a sentence each.

    More in the running one is no matter: routes and receivers of one's own beside ours, and defaults. Our first route
    may stand below others there, under any matchers.
    """
    return (*_receivers(ours, running), *_routes(ours, running), *_inhibitions(ours, running))


def _receivers(ours: Mapping[str, Any], running: Mapping[str, Any]) -> Iterator[str]:
    known = {receiver["name"]: receiver for receiver in running.get("receivers") or ()}
    for receiver in ours["receivers"]:
        name = receiver["name"]
        if name not in known:
            yield f"there is no receiver {name}"
            continue
        for problem in _lacking(receiver, known[name], ""):
            yield f"receiver {name}: {problem}"


def _routes(ours: Mapping[str, Any], running: Mapping[str, Any]) -> Iterator[str]:
    theirs = list(_flat(running.get("route") or {}, _Flat(receiver="", matchers=frozenset(), waits=_DEFAULTS)))
    for route in _flat(ours["route"], _Flat(receiver="", matchers=frozenset(), waits=_DEFAULTS)):
        told = f" of {', '.join(sorted(route.matchers))}" if route.matchers else ""
        same = [
            each
            for each in theirs
            if each.receiver == route.receiver and (not route.matchers or each.matchers >= route.matchers)
        ]
        if not same:
            yield f"no route{told} leads to {route.receiver}"
            continue
        closest = min((list(_lacking(route.waits, each.waits, "")) for each in same), key=len)
        for problem in closest:
            yield f"the route{told} to {route.receiver}: {problem}"


def _inhibitions(ours: Mapping[str, Any], running: Mapping[str, Any]) -> Iterator[str]:
    theirs = running.get("inhibit_rules") or ()
    for rule in ours.get("inhibit_rules") or ():
        if not any(not list(_lacking(rule, each, "")) for each in theirs):
            yield f"no inhibition by {', '.join(rule['source_matchers'])} is as compiled"


def _flat(route: Mapping[str, Any], above: _Flat) -> Iterator[_Flat]:
    waits = {**above.waits, **{name: route[name] for name in _WAITS if route.get(name) is not None}}
    here = _Flat(
        receiver=route.get("receiver") or above.receiver,
        matchers=above.matchers | frozenset(route.get("matchers") or ()),
        waits=waits,
    )
    yield here
    for below in route.get("routes") or ():
        yield from _flat(below, here)


def _lacking(ours: Any, theirs: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - whatever YAML holds
    if isinstance(ours, Mapping):
        for key, value in ours.items():
            if not isinstance(theirs, Mapping) or key not in theirs:
                yield f"{path}{key} is missing"
            else:
                yield from _lacking(value, theirs[key], f"{path}{key}.")
    elif _is_list_of_mappings(ours) and isinstance(theirs, Sequence) and len(theirs) == len(ours):
        for i, (own, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _lacking(own, other, f"{path.rstrip('.')}[{i}].")
    elif _normal(ours, path) != _normal(theirs, path) and theirs != _SECRET:
        yield f"{path.rstrip('.')} is {theirs}, expected {ours}"


def _is_list_of_mappings(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _normal(value: Any, path: str) -> Any:  # noqa: ANN401
    """Return a value as it is compared: lists in any order, durations in seconds, files by their name."""
    if isinstance(value, list):
        return frozenset(map(str, value))
    if isinstance(value, str) and path.endswith("_file."):
        return PurePath(value).name
    try:
        return seconds_of(value) if isinstance(value, str) else value
    except ValueError:
        return value.rstrip("/") if isinstance(value, str) else value
