"""Frozen records out of untrusted JSON: by their own type hints, strictly, naming what is wrong.

A value must have the type that its field has; numbers must be finite and fit 64 bits. Fields that
a record does not know are passed over, since a format may grow without changing.
"""

from __future__ import annotations

import json
import math
import os
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from ramferry.errors import UsageError, unreadable

LARGEST: Final = 1 << 63
"""No count of bytes, pages or milliseconds is larger, and every one below makes a float."""
MOST_BYTES: Final = 256 << 20
"""Of a file: a thousand runs of an hour each, sampled ten times a second, take less."""
MOST_DEPTH: Final = 16
"""Of free-form facts."""
LONGEST_NAME: Final = 40
"""Characters that a sentence shows of a name that the document chose."""

_SAID: Final = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}

Record = TypeVar("Record")


class Damaged(UsageError):
    """A document is not what it should be; the text names the field."""


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    :raise Damaged: it is too large, is no JSON, or is no object.
    :raise UsageError: there is no such file.
    :raise HostError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise Damaged(f"{path}: is larger than any result ({MOST_BYTES >> 20} MiB)")
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(raw) > MOST_BYTES:
        raise Damaged(f"{path}: is larger than any result ({MOST_BYTES >> 20} MiB)")
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Damaged(f"{path}: is no JSON document, or a part of one{where}") from error
    if not isinstance(content, dict):
        raise Damaged(f"{path}: is no document of ramferry: it holds no JSON object")
    return content


def record(kind: type[Record], value: object, where: str) -> Record:
    """A dataclass from a JSON object with its field names; absent fields take their defaults.

    :param where: the value's place, for the sentence: "result.json: cases[2]".
    :raise Damaged: a field is missing or of the wrong type.
    """
    content = _mapping(value, where)
    plain: type = kind
    hints = _hints(plain)
    known: dict[str, object] = {}
    for one in fields(kind):  # type: ignore[arg-type] # TypeVar cannot say "a dataclass"
        place = joined(where, one.name)
        if one.name in content:
            known[one.name] = _value(hints[one.name], content[one.name], place)
        elif not _has_default(one):
            raise Damaged(f"{place} is missing")
    return kind(**known)


def joined(where: str, name: str) -> str:
    """The place of a field inside a place."""
    shown = name if name.isidentifier() else repr(name[:LONGEST_NAME])
    return f"{where}{' ' if where.endswith(':') else '.'}{shown}"


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _has_default(one: Field[Any]) -> bool:
    return one.default is not MISSING or one.default_factory is not MISSING


def _value(hint: Any, value: object, where: str) -> object:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _optional(get_args(hint), value, where)
    if origin is tuple:
        return _tuple(get_args(hint)[0], value, where)
    if is_dataclass(hint) and isinstance(hint, type):
        return record(hint, value, where)
    if hint in _SAID:
        return _plain(hint, value, where)
    return {name: _fact(one, joined(where, name)) for name, one in _mapping(value, where).items()}


def _optional(hints: tuple[Any, ...], value: object, where: str) -> object:
    if value is None:
        return None
    (hint,) = (one for one in hints if one is not types.NoneType)
    return _value(hint, value, where)


def _tuple(hint: Any, value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise Damaged(f"{where} is not a list")
    return tuple(_value(hint, one, f"{where}[{index}]") for index, one in enumerate(value))


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Damaged(f"{where.removesuffix(':')} is not an object")
    return value


def _plain(hint: type, value: object, where: str) -> object:
    fits = type(value) is hint or (hint is float and type(value) is int)
    if not fits:
        raise Damaged(f"{where} is not {_SAID[hint]}")
    return _bounded(value, where, hint is float)


def _bounded(value: object, where: str, real: bool = False) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not (math.isfinite(value) and abs(value) < LARGEST):
            raise Damaged(f"{where} is out of range")
        return float(value) if real else value
    return value


def _fact(value: object, where: str, depth: int = 1) -> object:
    """Free-form JSON of the facts of a machine, with its numbers and depth bounded."""
    if depth > MOST_DEPTH:
        raise Damaged(f"{where} is nested too deep")
    if isinstance(value, dict):
        return {name: _fact(one, joined(where, name), depth + 1) for name, one in value.items()}
    if isinstance(value, list):
        return [_fact(one, f"{where}[{index}]", depth + 1) for index, one in enumerate(value)]
    return _bounded(value, where)
