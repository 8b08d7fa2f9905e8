"""One table of a TOML file, strictly read: every key asked for by its type, none left over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ramferry.errors import UsageError
from ramferry.units import parse_rate, parse_size

REQUIRED: Final = object()

LEAST_RATE: Final = 1000.0
"""Bytes a second below which nothing would ever arrive."""


class TomlTable:
    """One table of the file; every key is asked for once, and what is left is unknown."""

    def __init__(self, content: Mapping[str, Any], name: str, where: str) -> None:
        self._content = dict(content)
        self._asked: dict[str, Any] = {}
        self._name = name
        self._where = where

    def place(self, key: str) -> str:
        """File and key, for a sentence."""
        return f"{self._name}: {self._where}{key}"

    def wrong(self, key: str, wanted: str) -> UsageError:
        """An error that says what the key must be."""
        found = str(self._asked.get(key, "left out"))[:60]
        return UsageError(f"{self.place(key)} must be {wanted}, and is {found}")

    def nothing_else(self) -> None:
        """Refuse keys that nobody asked for."""
        if self._content:
            unknown = next(iter(self._content))
            raise UsageError(
                f"{self.place(unknown)} is unknown: known here are {', '.join(self._asked)}"
            )

    def _take(self, key: str, default: Any) -> Any:
        value = self._content.pop(key, default)
        self._asked[key] = value
        if value is REQUIRED:
            raise UsageError(f"{self.place(key)} is missing")
        return value

    def text(self, key: str, default: Any = REQUIRED) -> str:
        """A text."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def one_of(self, key: str, allowed: Sequence[str], default: str) -> str:
        """One of a few texts."""
        value = self._take(key, default)
        if value not in allowed:
            raise self.wrong(key, " or ".join(f'"{one}"' for one in allowed))
        return str(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number within a range."""
        value = self._take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least} to {most}")
        return value

    def size(self, key: str, default: Any = REQUIRED) -> int:
        """Memory: "512M", "2G"."""
        value = self._take(key, default)
        if value is default:
            return int(value)
        found = parse_size(value) if isinstance(value, str) else None
        if found is None:
            raise self.wrong(key, 'whole MiB of memory as "512M" or "2G"')
        return found

    def rate(self, key: str, default: float) -> float:
        """Bytes a second: "125M", "1Gbit"."""
        value = self._take(key, default)
        if value is default:
            return float(value)
        found = parse_rate(value) if isinstance(value, str) else None
        if not found or not math.isfinite(found) or found < LEAST_RATE:
            raise self.wrong(key, 'a rate as "125M" or "1Gbit", or left out')
        return found

    def items(self, key: str, kind: type, default: Any = REQUIRED) -> list[Any]:
        """A list of texts or of whole numbers, not empty."""
        value = self._take(key, default)
        said = "texts" if kind is str else "whole numbers"
        fits = isinstance(value, list) and value
        if not fits or (value is not default and any(type(one) is not kind for one in value)):
            raise self.wrong(key, f"a list of {said}")
        return list(value)

    def word_or_paths(self, key: str, words: Sequence[str], folder: Path) -> tuple[str, ...]:
        """One of ``words``, by default the first, or paths; relative ones are ``folder``'s."""
        value = self._take(key, words[0])
        if isinstance(value, str) and value in words:
            return (value,)
        if not isinstance(value, list) or not value or any(type(one) is not str for one in value):
            raise self.wrong(key, f"{' or '.join(words)}, or a list of paths")
        return tuple(str(folder / Path(one).expanduser()) for one in value)

    def table(self, key: str, default: Any = REQUIRED) -> TomlTable:
        """A table inside."""
        value = self._take(key, default)
        if not isinstance(value, dict):
            raise self.wrong(key, "a table")
        return TomlTable(value, self._name, f"{self._where}{key}.")

    def tables(self, key: str) -> list[TomlTable]:
        """An array of tables."""
        value = self._take(key, REQUIRED)
        if not isinstance(value, list) or any(not isinstance(one, dict) for one in value):
            raise self.wrong(key, "an array of tables, [[cases]]")
        return [TomlTable(one, self._name, f"{key}[{n}].") for n, one in enumerate(value)]
