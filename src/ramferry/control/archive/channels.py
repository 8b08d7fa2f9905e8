"""How many channels a save or a restore uses if nobody says.

Each has a thread of its own that compresses or inflates, so there is one for each core that this
process may use. Fewer than ``LEAST`` leave a core idle while their threads write and wait; beyond
``MOST``, QEMU's one migration thread hands out no more.
"""

from __future__ import annotations

from typing import Final

from ramferry.allowance import busy_threads

LEAST: Final = 4
MOST: Final = 16


def channels_here() -> int:
    """One channel for each core that this process may use, from ``LEAST`` to ``MOST``."""
    return max(LEAST, min(busy_threads(), MOST))
