"""Which method fits: decided from what was measured, without a clock or a socket of its own."""

from __future__ import annotations

from ramferry.policy.choice import Choice
from ramferry.policy.deciding import decide
from ramferry.policy.measurements import (
    NONE,
    Candidate,
    Figure,
    Host,
    Measurements,
    PageClass,
)

__all__ = ["NONE", "Candidate", "Choice", "Figure", "Host", "Measurements", "PageClass", "decide"]
