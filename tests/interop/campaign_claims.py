"""What sentences say about the guest, and whether it is so. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

STILL = frozenset({"paused", "prelaunch"})
"""Run states of a guest that stands still and may be let go on."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What was seen of the guests, from outside."""

    source: bool
    """Whether the guest runs there."""
    destination: bool
    source_state: str = ""
    """What the monitor says; "" where it does not answer."""
    destination_state: str = ""
    paused: bool = False
    """The guest is one that does not run."""
    kept: bool = False
    """The source's migration failed, or was cancelled."""

    @property
    def at_source(self) -> bool:
        """Whether a guest is there, in the state in which it was; QEMU 7.2 calls a paused one whose
        migration failed late ``postmigrate``, also where the destination has all of it."""
        left = self.source_state == "postmigrate" and (self.kept or not self.at_destination)
        return self.source or (self.paused and (left or self.source_state in STILL))

    @property
    def at_destination(self) -> bool:
        """Whether a guest is there, in the state in which it was."""
        return self.destination or (self.paused and self.destination_state in STILL)

    def __str__(self) -> str:
        where = {
            (True, False): "the guest ran at the source",
            (False, True): "the guest ran at the destination",
            (True, True): "BOTH guests ran",
            (False, False): "no guest ran",
        }[self.source, self.destination]
        states = f"{self.source_state or 'silent'}/{self.destination_state or 'silent'}"
        return f"{where} ({states})"


Claim = Callable[[Scene, re.Match[str]], bool]

CLAIMS: Sequence[tuple[str, Claim]] = (
    (r"the guest runs (on )?at the source", lambda seen, _: seen.source),
    (r"the guest runs (on )?at the destination", lambda seen, _: seen.destination),
    (r"the guest stays at the source", lambda seen, _: not seen.at_destination),
    (r"the guest does not run at the destination", lambda seen, _: not seen.destination),
    (r"the guest does not run at the source", lambda seen, _: not seen.source),
    (
        r"the guest is at the source, (?:which is )?([a-z-]+)",
        lambda seen, match: not seen.source and seen.source_state in (match[1], ""),
    ),
    (
        r"the guest is at the destination, (?:which is )?([a-z-]+)",
        lambda seen, match: not seen.destination and seen.destination_state in (match[1], ""),
    ),
    (
        r"at the destination,? too,? and was stopped there",
        lambda seen, _: not seen.destination,
    ),
    (r"a copy (of it )?runs at the destination", lambda seen, _: seen.destination),
    (r"a copy of it stands still at the destination", lambda seen, _: not seen.destination),
    (r"the destination waits on, told not to run", lambda seen, _: not seen.destination),
    (r"the destination does not start the guest", lambda seen, _: not seen.destination),
    (r"that was stopped, end the source's QEMU", lambda seen, _: not seen.source),
    (r"do not `cont` the source, which is", lambda seen, _: seen.destination and not seen.source),
    (
        r"it runs at the source and at the destination",
        lambda seen, _: seen.source and seen.destination,
    ),
    (r"the guest stands still at the source, which is", lambda seen, _: not seen.source),
    (
        r"the guest stands still: the source is",
        lambda seen, _: not seen.source and not seen.destination,
    ),
    (
        r"the destination QEMU ended|then its QEMU ended",
        lambda seen, _: seen.destination_state == "gone",
    ),
)

ADVICE = re.compile(
    r"`cont`|`info status`|see which QEMU|see where the guest|make sure|stop the source's QEMU"
    r"|: end its QEMU"
)
"""What a sentence has that says how to go on where nobody could decide."""


def untrue(line: str, seen: Scene) -> list[str]:
    """The phrases of a line that are not so."""
    return [
        match[0]
        for pattern, holds in CLAIMS
        for match in re.finditer(pattern, line)
        if not holds(seen, match)
    ]


def advises(lines: Sequence[str]) -> bool:
    """Whether somebody is told how to go on."""
    return any(ADVICE.search(line) for line in lines)
