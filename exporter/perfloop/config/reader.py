"""YAML into structs, with the line and the path of every mistake, all of them at once."""

# ruff: noqa: ANN401 - what a file holds has any type until it is checked

from __future__ import annotations

import difflib
import math
import re
import types
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml

from perfloop.errors import ConfigInvalid

T = TypeVar("T")
_MISSING: Any = object()


class Document:
    """A YAML file as nodes with marks; `place` names a path in the way error messages do."""

    def __init__(self, text: str, *, name: str) -> None:
        self.name = name
        self.problems: list[tuple[int, str]] = []
        self.lines: dict[str, int] = {}
        try:
            self.root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 1
            what = getattr(error, "problem", None) or str(error)
            raise ConfigInvalid([f"{name}:{line}: not valid YAML: {what}"]) from error
        except RecursionError as error:
            raise ConfigInvalid([f"{name}:1: nested too deeply"]) from error

    def report(self, path: str, message: str, *, line: int | None = None) -> None:
        """Note one mistake at a path; the line is that of the path's key."""
        at = line if line is not None else self.line(path)
        where = f"{path}: " if path else ""
        self.problems.append((at, f"{self.name}:{at}: {where}{message}"))

    def line(self, path: str) -> int:
        """Line of the path, or of its nearest ancestor that stands in the file."""
        while path and path not in self.lines:
            path = re.sub(r"(\.[^.\[]*|\[\d+\]|^[^.\[]+)$", "", path)
        return self.lines.get(path, 1)

    def raise_problems(self) -> None:
        """Raise ConfigInvalid if anything was reported, in the order of the lines."""
        if self.problems:
            ordered = sorted(self.problems, key=lambda problem: problem[0])
            raise ConfigInvalid(list(dict.fromkeys(message for _, message in ordered)))


def read(document: Document, cls: type[T]) -> T | None:
    """Convert a document into a struct; mistakes are reported to the document, and then None comes back."""
    root = document.root
    if root is None:
        return cls()
    value = _convert(document, root, cls, "")
    return None if value is _MISSING else value


def _convert(document: Document, node: yaml.Node, expected: Any, path: str) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    plain, constraints = _strip(expected)
    struct = next((t for t in _members(plain) if isinstance(t, type) and issubclass(t, msgspec.Struct)), None)
    if struct is not None and (isinstance(node, yaml.MappingNode) or len(_members(plain)) == 1):
        return _convert_struct(document, node, struct, path)
    for member in _members(plain):
        if get_origin(member) is dict and not _is_null(node):
            return _check(document, _convert_mapping(document, node, member, path), constraints, dict, path)
        if get_origin(member) is tuple and not _is_null(node):
            return _check(document, _convert_sequence(document, node, member, path), constraints, tuple, path)
    return _check(document, _construct(node), expected, None, path)


def _convert_struct(document: Document, node: yaml.Node, struct: type[msgspec.Struct], path: str) -> Any:
    if _is_null(node):
        node = yaml.MappingNode(node.tag, [], node.start_mark, node.end_mark)
    if not isinstance(node, yaml.MappingNode):
        document.report(path, _expected_mapping(struct, node))
        return _MISSING
    hints = _hints(struct)
    values: dict[str, Any] = {}
    for key, child in _pairs(document, node, path):
        below = f"{path}.{key}" if path else key
        if key not in hints:
            document.report(below, f"unknown key{_suggest(key, hints)}")
        else:
            values[key] = _convert(document, child, hints[key], below)
    for info in msgspec.structs.fields(struct):
        if info.required and info.encode_name not in values:
            document.report(f"{path}.{info.encode_name}" if path else info.encode_name, "is missing")
            values[info.encode_name] = _MISSING
    if any(value is _MISSING for value in values.values()):
        return _MISSING
    names = {info.encode_name: info.name for info in msgspec.structs.fields(struct)}
    return struct(**{names[key]: value for key, value in values.items()})


def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    hints = get_type_hints(struct, include_extras=True)
    return {info.encode_name: hints[info.name] for info in msgspec.structs.fields(struct)}


def _expected_mapping(struct: type[msgspec.Struct], node: yaml.Node) -> str:
    """Say what was expected; a struct with words of its own may hold secrets, so that nothing of them is repeated."""
    own = getattr(struct, "EXPECTED", None)
    return f"expected {own}" if own else f"expected a mapping, got {_describe(node)}"


def _convert_mapping(document: Document, node: yaml.Node, expected: Any, path: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        document.report(path, f"expected a mapping, got {_describe(node)}")
        return _MISSING
    key_type, value_type = get_args(expected)
    result: dict[str, Any] = {}
    for key, child in _pairs(document, node, path):
        below = f"{path}.{key}"
        checked = _check(document, key, key_type, None, below)
        value = _convert(document, child, value_type, below)
        if checked is not _MISSING:
            result[checked] = value
    return _MISSING if any(value is _MISSING for value in result.values()) else result


def _convert_sequence(document: Document, node: yaml.Node, expected: Any, path: str) -> Any:
    if not isinstance(node, yaml.SequenceNode):
        document.report(path, f"expected a list, got {_describe(node)}")
        return _MISSING
    item_type = get_args(expected)[0]
    items = tuple(_convert(document, child, item_type, f"{path}[{i}]") for i, child in enumerate(node.value))
    return _MISSING if any(item is _MISSING for item in items) else items


def _pairs(document: Document, node: yaml.MappingNode, path: str) -> Iterator[tuple[str, yaml.Node]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = str(_construct(key_node))
        below = f"{path}.{key}" if path else key
        line = key_node.start_mark.line + 1
        if key in seen:
            document.report(below, "stands twice; the first one is in line " + str(document.lines[below]), line=line)
            continue
        seen.add(key)
        document.lines[below] = line
        yield key, value_node


def _check(document: Document, value: Any, expected: Any, shape: type | None, path: str) -> Any:
    """Let msgspec check the value; for containers only the constraints, as their items are checked already."""
    if value is _MISSING:
        return _MISSING
    if shape is not None:
        minimum = getattr(expected, "min_length", None)
        if minimum and len(value) < minimum:
            document.report(path, f"expected at least {minimum} entr{'y' if minimum == 1 else 'ies'}")
            return _MISSING
        return value
    if isinstance(value, float) and not math.isfinite(value):
        document.report(path, f"expected a finite number, got {value}")
        return _MISSING
    try:
        return msgspec.convert(value, expected, strict=True, dec_hook=_decode)
    except msgspec.ValidationError as error:
        document.report(path, _explain(str(error), value, expected))
        return _MISSING


def _decode(expected: type, value: Any) -> Any:
    """Make what YAML has no scalar for."""
    if expected is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"Expected `{'path' if expected is Path else expected.__name__}`")


def _explain(message: str, value: Any, expected: Any) -> str:
    """Say what was expected in the field's words where the type has some, else in msgspec's, and what was found."""
    plain = _strip(expected)[0]
    description = _description(expected)
    choices = [c for member in _members(plain) for c in _choices(member)]
    if description and "regex" in message:
        text = f"expected {description}"
    elif choices and "enum" in message:
        text = f"expected one of {', '.join(choices)}"
    else:
        text = message.replace("`", "").replace("Expected", "expected", 1)
        text = re.sub(r",? - at .*$", "", text)
        text = re.sub(r",? got .*$", "", text)
    return f"{text}, got {value!r}"


def _description(expected: Any) -> str | None:
    """Return the words of the type, or of the first member of a union that has some."""
    members = get_args(expected) if get_origin(expected) in {Union, types.UnionType} else (expected,)
    found = (getattr(_strip(member)[1], "description", None) for member in members)
    return next((description for description in found if description), None)


def _choices(expected: Any) -> list[str]:
    if get_origin(expected) is Literal:
        return [str(choice) for choice in get_args(expected)]
    if isinstance(expected, type) and issubclass(expected, StrEnum):
        return [str(choice) for choice in expected]
    return []


def _strip(expected: Any) -> tuple[Any, Any]:
    if get_origin(expected) is Annotated:
        plain, *meta = get_args(expected)
        return plain, meta[0]
    return expected, None


def _members(expected: Any) -> tuple[Any, ...]:
    if get_origin(expected) in {Union, types.UnionType}:
        return tuple(_strip(member)[0] for member in get_args(expected) if member is not type(None))
    return (expected,)


def _construct(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError):
        # 2026-13-99 looks like a date and is none.
        return getattr(node, "value", None)
    finally:
        loader.dispose()


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _describe(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else repr(_construct(node))


def _suggest(key: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; expected one of {', '.join(sorted(known))}"


def read_text(path: Path) -> str:
    """Read a configuration file; a missing or unreadable one is a ConfigInvalid like any other mistake."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigInvalid([f"{path}: {reason}"]) from error
