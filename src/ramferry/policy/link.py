"""The rate of a link, known from intervals in which it was blocked. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

HOLD: Final = 10.0
"""Seconds that a rate is believed in that no blocked interval confirms; twice as long each time
that it is found again, up to ``LONGEST_HOLD``. To look for more costs a third of the rate for a
second where cores and link are in balance; a link that carries more shows by itself, as a rule."""
LONGEST_HOLD: Final = 80.0

SAME: Final = 1.15
"""Rates are the same if neither is so many times the other."""


@dataclass(frozen=True, slots=True)
class LinkRate:
    """What is known of a link."""

    rate: float = 0.0
    """Wire bytes a second, for ``Measurements.link``; 0 if nothing has gone over it."""
    known: bool = False
    """Whether it is the link's rate, not only a lower bound."""
    until: float = -math.inf
    """When that is to be doubted, by the caller's clock."""
    hold: float = HOLD
    """Seconds that it is believed in."""

    def seen(self, now: float, rate: float, blocked: bool) -> LinkRate:
        """What is known after an interval that ends at ``now``.

        :param rate: wire bytes a second in it.
        :param blocked: whether the link made senders wait in it.
        """
        if blocked:
            return self._blocked(now, rate)
        if rate > SAME * self.rate:
            # more than it was believed to carry: nothing of that holds any more
            return LinkRate(rate)
        if self.known and now < self.until:
            return self
        # it carried as much once; if it has become slower, it will block
        return replace(self, rate=max(self.rate, rate), known=False)

    def _blocked(self, now: float, rate: float) -> LinkRate:
        found_again = self.rate > 0 and self.rate / SAME <= rate <= self.rate * SAME
        if not found_again:
            return LinkRate(rate, True, now + HOLD, HOLD)
        hold = self.hold if self.known else min(2 * self.hold, LONGEST_HOLD)
        return LinkRate((self.rate + rate) / 2, True, now + hold, hold)
