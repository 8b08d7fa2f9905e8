"""Chooses a method by the forecasts, and says why. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ramferry.metrics.forecast import MethodTime

NEAR: Final = 1.05
"""Expected times that differ by less than this share count as equal; the one with less CPU wins."""


MOSTLY: Final = 0.5
"""Share of zero pages from which on the reason names them."""


def choose(
    methods: Sequence[MethodTime], dirty_rate: float, zero_share: float = 0.0
) -> tuple[str, str]:
    """The method to take, and a sentence that says why; an empty method if none converges.

    :param dirty_rate: bytes a second.
    :param zero_share: share of the guest's pages that are zero: no method sends their content.
    """
    able = [one for one in methods if one.total_seconds is not None]
    if not able:
        best = max(methods, key=lambda one: one.carried_rate)
        return "", (
            f"no method converges: the guest dirties {dirty_rate / 1e6:.0f} MB/s, and"
            f" {best.method}, the fastest, carries {best.carried_rate / 1e6:.0f} MB/s, limited by"
            f" the {best.limited_by}"
        )
    near = _nearly_fastest(able)
    chosen = pick(able)
    if chosen.method == "none" and any(one.ratio > NEAR for one in near):
        return "none", _no_matter(chosen, zero_share)
    return chosen.method, _why(chosen, min(able, key=_expected), methods)


def pick(able: Sequence[MethodTime]) -> MethodTime:
    """What to take: of those that take about as long as the fastest, the one with the least CPU.

    :param able: those that converge, one at least.
    """
    cheapest = _nearly_fastest(able)
    return min(cheapest, key=lambda one: one.send_cpu_seconds + one.recv_cpu_seconds)


def _nearly_fastest(able: Sequence[MethodTime]) -> list[MethodTime]:
    fastest = min(map(_expected, able))
    return [one for one in able if _expected(one) <= NEAR * fastest]


def _no_matter(none: MethodTime, zero_share: float) -> str:
    """Why nothing is to be compressed, if that would not take notably longer."""
    share = "nearly all" if zero_share > 0.99 else f"{zero_share:.0%}"
    zeros = f", as {share} of the pages are zero" if zero_share >= MOSTLY else ""
    return (
        f"no method is notably faster than none, which takes the least CPU{zeros}:"
        f" {_expected(none):.1f} s expected"
    )


def _expected(one: MethodTime) -> float:
    assert one.total_seconds is not None
    return one.total_seconds.expected


def _why(chosen: MethodTime, fastest: MethodTime, methods: Sequence[MethodTime]) -> str:
    if chosen is not fastest:
        text = f"{chosen.method} is as fast as {fastest.method} and takes less CPU"
    elif chosen.method == "none" and chosen.limited_by == "link":
        text = "none is fastest: these pages do not get smaller by more than it costs"
    elif chosen.method == "none":
        text = "none is fastest: the link carries more than these cores can compress"
    else:
        text = f"{chosen.method} is fastest, limited by the {chosen.limited_by}"
    text += f": {_expected(chosen):.1f} s expected"
    for other in methods:
        if other.method == "none" and chosen.method != "none":
            if other.total_seconds is None:
                return f"{text}, where none would not converge"
            return f"{text}, none takes {_expected(other) / _expected(chosen):.1f} times as long"
    return text
