"""Which pages hold nothing but zeros."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_PROBES: Final = 8
"""Words of a page that are looked at first: most pages with content show it there."""


def zero_pages(pages: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """For each row of ``pages``, whether it is zero throughout.

    :param pages: n pages, one a row, each a multiple of 64 bytes, rows contiguous.
    """
    words = pages.view(np.uint64)
    step = max(words.shape[1] // _PROBES, 1)
    zero: NDArray[np.bool_] = np.logical_not(words[:, ::step].any(axis=1))
    candidates = np.flatnonzero(zero)
    if len(candidates):
        rows = words if len(candidates) == len(words) else words[candidates]
        zero[candidates] = np.logical_not(rows.any(axis=1))
    return zero
