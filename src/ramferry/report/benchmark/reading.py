"""Documents of ``ramferry bench`` as files and bytes: checked, and turned into their records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from ramferry import __version__
from ramferry.errors import UsageError, unreadable
from ramferry.report import document as documents
from ramferry.report.benchmark import former
from ramferry.report.benchmark.strict import unknown_field
from ramferry.typed import convert, decode

READ: Final = range(2, documents.VERSION + 1)
"""Versions whose documents are records as of today: version 2 lacks fields that have a default."""
MOST_BYTES: Final = 256 << 20
"""Of a file: a thousand runs of an hour each, sampled ten times a second, take less."""
MOST_DEPTH: Final = 24
"""Of lists and objects in each other; without the free-form facts of a machine there are 12."""
LARGEST: Final = 1 << 63
"""No count of bytes, pages or milliseconds is larger, and every one below makes a float."""

Record = TypeVar("Record")


class Damaged(UsageError):
    """A document is not what it should be; the text names the file and the field."""


def raw_of(path: Path) -> bytes:
    """What a file holds.

    :raise Damaged: it is larger than any result.
    :raise HostError: it is there and cannot be read.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise Damaged(f"{path}: is larger than any result ({MOST_BYTES >> 20} MiB)")
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from error


def decoded(raw: bytes, name: str, kinds: Mapping[str, type[Record]]) -> Record:
    """The record that a document holds; documents of versions 1 and 2 are understood, too.

    :param name: of the file, for the sentence.
    :param kinds: format → its record, a dataclass.
    :raise Damaged: it is none of them, is damaged, or has another version.
    """
    if len(raw) > MOST_BYTES:
        raise Damaged(f"{name}: is larger than any result ({MOST_BYTES >> 20} MiB)")
    try:
        content = decode(raw)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{name}: is no JSON document, or a part of one ({error})") from error
    if (place := _out_of_range(content)) is not None:
        raise Damaged(f"{name}: a number is too large, or the nesting too deep - at `${place}`")
    kind, record = _of_this_version(content, name, kinds)
    try:
        found = convert(record, kind)
    except msgspec.ValidationError as error:
        raise Damaged(f"{name}: {error}") from error
    if (path := unknown_field(record, kind)) is not None:
        raise Damaged(f"{name}: a field that results do not have - at `{ascii(path)[1:-1]}`")
    return found


def _of_this_version(
    content: Any, name: str, kinds: Mapping[str, type[Record]]
) -> tuple[type[Record], Any]:
    if not isinstance(content, dict) or not {"format", "ramferry"} <= content.keys():
        raise Damaged(f"{name}: is no document of ramferry: it has no format and ramferry")
    kind, version = content["format"], content.get("version")
    if kind == former.FORMAT and not isinstance(kind, bool) and "version" not in content:
        kind, version, content = former.NOW, documents.VERSION, former.renamed(content)
    # documents of version 1 of other formats have the same number, and none of this
    whole = kind != former.NOW or {"scenario", "cases"} <= content.keys()
    if not isinstance(kind, str) or kind not in kinds or not whole:
        raise Damaged(f"{name}: is no result of ramferry bench: {_shown(kind)} is its format")
    if version not in READ or isinstance(version, bool):
        raise Damaged(
            f"{name}: its version is {_shown(version)}, and this ramferry {__version__} reads"
            f" versions up to {documents.VERSION}: use the ramferry that wrote it"
        )
    rest = {key: value for key, value in content.items() if key not in ("format", "version")}
    return kinds[kind], rest


def _shown(value: object) -> str:
    return ascii(value)[:40]


def _out_of_range(value: object, depth: int = 0) -> str | None:
    """Where a number does not fit 64 bits, or what nests too deep begins; None if all is well."""
    if depth > MOST_DEPTH:
        return ""
    if isinstance(value, dict | list):
        named = isinstance(value, dict)
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if (place := _out_of_range(inner, depth + 1)) is not None:
                return f"[{ascii(key)[:40] if named else key}]{place}"
        return None
    return "" if isinstance(value, int | float) and not abs(value) < LARGEST else None
