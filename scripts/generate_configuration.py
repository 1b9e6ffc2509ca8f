"""Writes the reference of perfloop.yml from the schema that checks it: generate_configuration.py FILE.

A key's sentence is in the `#:` lines above it, and a section's the docstring, both in config/schema/.
"""

# ruff: noqa: ANN401 - annotations are of any type

from __future__ import annotations

import ast
import inspect
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import FieldInfo

from perfloop.config import schema
from perfloop.config.schema import Config, Secret, Section

INTRODUCTION = """\
# perfloop.yml, key by key

<!-- Generated from exporter/perfloop/config/schema/ by scripts/generate_configuration.py; do not edit. -->

Every section and, unless it says *required*, every key may be left out. An unknown key is a mistake; `perfloop check`
says all of them at once, each with its line. Times are in seconds, ratios are shares of one. The example that is also
the default is [perfloop.yml](../perfloop.yml); which names metrics have, [metrics.md](metrics.md#catalogue) says.
"""


def sentences() -> dict[str, dict[str, str]]:
    """Return the `#:` lines of every field of the schema, by class and field."""
    found: dict[str, dict[str, str]] = {}
    for file in sorted(Path(schema.__file__).parent.glob("*.py")):
        found |= _sentences(file.read_text(encoding="utf-8"))
    return found


def _sentences(source: str) -> dict[str, dict[str, str]]:
    lines = source.splitlines()
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        for item in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and isinstance(node, ast.ClassDef):
                found.setdefault(node.name, {})[item.target.id] = _comment_above(lines[: item.lineno - 1])
    return found


def _comment_above(lines: Sequence[str]) -> str:
    """Return the `#:` lines at the end of some lines as one."""
    comment = [*takewhile(lambda line: line.startswith("#:"), map(str.strip, reversed(lines)))]
    return " ".join(line.removeprefix("#:").strip() for line in reversed(comment))


def sections(struct: type[Struct], path: str = "") -> Iterator[tuple[str, type[Struct]]]:
    """Yield every struct below one, depth first, with its path; each struct once, at its first place."""
    yield from _sections(struct, path, set())


def _sections(struct: type[Struct], path: str, seen: set[type[Struct]]) -> Iterator[tuple[str, type[Struct]]]:
    for info, expected in _fields(struct):
        below = f"{path}.{info.encode_name}" if path else info.encode_name
        for suffix, found in _structs(expected):
            if found not in seen and issubclass(found, Section):
                seen.add(found)
                yield below + suffix, found
                yield from _sections(found, below + suffix, seen)


def page() -> str:
    """Return the document."""
    places = {struct: path for path, struct in sections(Config)}
    told = sentences()
    parts = [INTRODUCTION]
    for struct, path in places.items():
        level = "##" if re.sub(r"\[\]|\.NAME$", "", path) in Config.__struct_fields__ else "###"
        parts += [f"{level} {path}", "", _docstring(struct), "", *_table(struct, _told(struct, told), places), ""]
    return "\n".join(parts)


def _told(struct: type[Struct], told: Mapping[str, dict[str, str]]) -> dict[str, str]:
    """Return the sentences of a struct's fields, also of those that it inherits."""
    return {key: text for base in reversed(struct.__mro__) for key, text in told.get(base.__name__, {}).items()}


def _table(struct: type[Struct], told: Mapping[str, str], places: Mapping[type[Struct], str]) -> list[str]:
    rows = []
    for info, expected in _fields(struct):
        default = _default(info)
        rows.append(f"| `{info.encode_name}` | {_words(expected, places)} | {default} | {told[info.name]} |")
    return ["| key | value | default | meaning |", "|---|---|---|---|", *rows]


def _fields(struct: type[Struct]) -> list[tuple[FieldInfo, Any]]:
    hints = get_type_hints(struct, include_extras=True)
    return [(info, hints[info.name]) for info in msgspec.structs.fields(struct)]


def _docstring(struct: type[Struct]) -> str:
    return " ".join(inspect.cleandoc(struct.__doc__ or "").split())


def _structs(expected: Any) -> Iterator[tuple[str, type[Struct]]]:
    """Yield the structs in a type, with what stands for their place: `[]` in a list, `.NAME` in a mapping."""
    plain, _ = _strip(expected)
    if isinstance(plain, type) and issubclass(plain, Struct):
        yield "", plain
    suffix = {tuple: "[]", dict: ".NAME"}.get(get_origin(plain), "")
    for member in get_args(plain):
        if member is not Ellipsis:
            yield from ((suffix + more, struct) for more, struct in _structs(member))


def _words(expected: Any, places: Mapping[type[Struct], str]) -> str:
    """Say in words what a value must be."""
    plain, meta = _strip(expected)
    origin = get_origin(plain)
    if meta is not None and meta.description:
        return str(meta.description)
    if isinstance(plain, type) and issubclass(plain, Struct):
        return _struct_words(plain, places)
    if choices := _choices(plain):
        return "one of " + ", ".join(f"`{choice}`" for choice in choices)
    if origin in {Union, types.UnionType}:
        members = [member for member in get_args(plain) if member is not type(None)]
        if float in members and int in members:  # YAML tells them apart, people do not
            members.remove(int)
        return " or ".join(dict.fromkeys(_words(member, places) for member in members))
    if origin is tuple:
        return f"list of {_words(get_args(plain)[0], places)}"
    if origin is dict:
        return f"{_words(get_args(plain)[1], places)} by name"
    return _scalar(plain) + _bounds(meta)


def _struct_words(struct: type[Struct], places: Mapping[type[Struct], str]) -> str:
    return f"[{'secret' if struct is Secret else 'mapping'}](#{anchor(places[struct])})"


def anchor(heading: str) -> str:
    """Return GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _scalar(plain: Any) -> str:
    return {int: "whole number", float: "number", str: "text", bool: "`true` or `false`", Path: "path"}[plain]


def _bounds(meta: Meta | None) -> str:
    if meta is None:
        return ""
    limits = ((">", meta.gt), ("≥", meta.ge), ("<", meta.lt), ("≤", meta.le))
    said = [f"{sign} {limit:g}" for sign, limit in limits if limit is not None]
    return f" {', '.join(said)}" if said else ""


def _choices(plain: Any) -> list[str]:
    if get_origin(plain) is Literal:
        return [str(choice) for choice in get_args(plain)]
    return list(plain) if isinstance(plain, type) and issubclass(plain, StrEnum) else []


def _default(info: FieldInfo) -> str:
    if info.required:
        return "*required*"
    value = info.default if info.default is not NODEFAULT else info.default_factory()
    if value is None or value == "" or value in ((), {}):
        return ""
    if isinstance(value, Struct):
        given = {k: v for k, v in msgspec.structs.asdict(value).items() if v is not None}
        inner = ", ".join(f"{key}: {found}" for key, found in given.items())
        return f"`{{{inner}}}`" if isinstance(value, Secret) else ""
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{_plain(value)}`"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _strip(expected: Any) -> tuple[Any, Meta | None]:
    if get_origin(expected) is Annotated:
        plain, *metas = get_args(expected)
        return plain, metas[0]
    return expected, None


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
