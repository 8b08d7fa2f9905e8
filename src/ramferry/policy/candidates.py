"""The ways to compress that a policy may choose from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from ramferry.policy.measurements import NONE, Candidate

ZSTD_LEVELS: Final = (-7, -5, -3, -1, 1, 3, 6, 9, 12, 15, 19)
"""Negative levels are libzstd's fast ones, which QEMU's own range does not have: QEMU's decoder
takes what they make."""

QATZIP_LEVELS: Final = range(1, 10)

ZLIB_LEVELS: Final = range(1, 10)
"""Where zlib is not what was asked for, zstd does better at each of them."""

LEVELS: Final[Mapping[str, Sequence[int]]] = {
    "zstd": ZSTD_LEVELS,
    "qatzip": QATZIP_LEVELS,
    "zlib": ZLIB_LEVELS,
}
"""The levels of the methods that have any."""


def candidates(*, device: bool) -> tuple[Candidate, ...]:
    """All that a choice of methods has, ``NONE`` first.

    :param device: whether a QAT device is proven on this host.
    """
    on_cpu = (NONE, *(Candidate("zstd", level) for level in ZSTD_LEVELS))
    deflate = tuple(Candidate("qatzip", level) for level in QATZIP_LEVELS)
    on_device = tuple(Candidate("qatzip", level, device=True) for level in QATZIP_LEVELS)
    return (*on_cpu, *deflate, *(on_device if device else ()))


def usable(inflates: Collection[str], device: bool) -> tuple[Candidate, ...]:
    """The candidates that the far end inflates; ``NONE`` always.

    :param inflates: names of methods.
    :param device: as for ``candidates``.
    """
    return tuple(one for one in candidates(device=device) if one == NONE or one.method in inflates)


def levels_of(method: str, *, device: bool) -> tuple[Candidate, ...]:
    """The candidates for a stream of one method. ``NONE`` is there, too, and stands for pages that
    are stored in the method's own form.

    :param method: a key of ``LEVELS``.
    :param device: as for ``candidates``.
    """
    on_cpu = [Candidate(method, level) for level in LEVELS[method]]
    on_device = [one for one in candidates(device=device) if one.device and one.method == method]
    return (NONE, *on_cpu, *on_device)
