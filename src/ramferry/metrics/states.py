"""How far a migration through a relay is, and how it ended, in a word."""

from __future__ import annotations

from typing import Final

GATHERING, CARRYING, SWITCHOVER, ENDING = "gathering", "carrying", "switchover", "ending"
STATES: Final = (GATHERING, CARRYING, SWITCHOVER, ENDING)
"""Until every channel has come; while memory moves; from ram's END until the destination's answer;
until its connections are closed."""

COMPLETED, FAILED, CANCELLED, UNDECIDED = "completed", "failed", "cancelled", "undecided"
OUTCOMES: Final = (COMPLETED, FAILED, CANCELLED, UNDECIDED)
"""``undecided``: it failed behind ram's END, and whether the destination has the guest was not
seen, or it has it and the source may not know: a person has to look."""
