"""Fewer cases than a full product: every two values meet in one, and the rest is marked slow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

import pytest

Row = tuple[Any, ...]
Meeting = tuple[tuple[int, int], ...]
"""Two factors and the place of each one's value."""


def pairwise(*sizes: int) -> list[tuple[int, ...]]:
    """Rows of places, one for each factor, in which any two places of two factors meet.

    Each row is the one, of all in order, that has most meetings that were not there yet: always
    the same rows, and not many more than the fewest.
    """
    rows = list(product(*map(range, sizes)))
    left = {meeting for row in rows for meeting in _meetings(row)}
    chosen = []
    while left:
        best = max(rows, key=lambda row: len(left.intersection(_meetings(row))))
        chosen.append(best)
        left.difference_update(_meetings(best))
    return chosen


def _meetings(row: tuple[int, ...]) -> list[Meeting]:
    return list(combinations(enumerate(row), min(2, len(row))))


def pairs_of(
    factors: Mapping[str, Sequence[Any]], *, indirect: Sequence[str] = ()
) -> pytest.MarkDecorator:
    """Parametrise a test so that every two values of two factors meet; the rest is slow.

    :param factors: the values of each argument.
    """
    sizes = [len(values) for values in factors.values()]
    chosen = pairwise(*sizes)
    rest = [row for row in product(*map(range, sizes)) if row not in chosen]
    marked = [(row, ()) for row in chosen] + [(row, (pytest.mark.slow,)) for row in rest]
    cases = [
        pytest.param(*_values(factors, row), id=_name(factors, row), marks=marks)
        for row, marks in marked
    ]
    return pytest.mark.parametrize(tuple(factors), cases, indirect=list(indirect))


def _values(factors: Mapping[str, Sequence[Any]], row: tuple[int, ...]) -> Row:
    return tuple(values[at] for values, at in zip(factors.values(), row, strict=True))


def _name(factors: Mapping[str, Sequence[Any]], row: tuple[int, ...]) -> str:
    return "-".join(str(getattr(value, "name", value)) for value in _values(factors, row))
