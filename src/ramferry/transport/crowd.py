"""Which of too many that wait is turned away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

_T = TypeVar("_T")


def one_too_many(
    waiting: Iterable[_T],
    origin_of: Callable[[_T], str],
    of_one: int,
    in_all: int,
    origin: str,
) -> _T | None:
    """Which of the waiting has to leave to make room for one more; None if there is room.

    :param waiting: in the order in which they came.
    :param of_one: most of one origin. If there are as many, its oldest leaves.
    :param in_all: most in all. If there are as many, the oldest one of the origin with the most
        leaves, so that one origin cannot keep the others out.
    :param origin: where the new one comes from.
    """
    by_origin: dict[str, list[_T]] = {}
    for one in waiting:
        by_origin.setdefault(origin_of(one), []).append(one)
    own = by_origin.get(origin, [])
    if len(own) >= of_one:
        return own[0]
    if sum(map(len, by_origin.values())) >= in_all:
        return max(by_origin.values(), key=len)[0]
    return None
