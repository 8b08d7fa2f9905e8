"""How the source's QEMU is told what ``Steering`` decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ramferry.control.migrate.on_stall import OnStall
from ramferry.control.migrate.pausing import Pause
from ramferry.control.qemu.probe import QemuFacts
from ramferry.control.qemu.settings import AUTO_CONVERGE, Tell
from ramferry.errors import MethodUnavailable

QUIET: Final[Mapping[str, int]] = {
    "cpu-throttle-initial": 1,
    "cpu-throttle-increment": 1,
    "max-cpu-throttle": 1,
}
"""QEMU takes no capability in mid-migration. So auto-converge is on from the beginning, and takes
1 % of the guest's time at most."""

AT_WORK: Final[Mapping[str, int]] = {"cpu-throttle-increment": 20, "max-cpu-throttle": 99}
"""What makes it work: parameters can be set at any time. QEMU goes up by the increment every other
round; its default of 10 takes twice as long, and the migration has stalled for a while already."""


def throttle_settings(facts: QemuFacts, on_stall: OnStall) -> Mapping[str, int]:
    """The parameters with which a migration begins that may come to be throttled; empty if it is
    not to be.

    :raise MethodUnavailable: the source cannot do that.
    """
    if on_stall is not OnStall.THROTTLE:
        return {}
    if AUTO_CONVERGE not in facts.capabilities:
        raise MethodUnavailable(
            f"the source, {facts.name}, has no auto-converge for --on-stall throttle: choose wait,"
            " pause or cancel"
        )
    return QUIET


class QemuHands:
    """See ``Hands``."""

    def __init__(self, tell: Tell, pause: Pause) -> None:
        """
        :param tell: sends the source a command, and notes what fails.
        """
        self._tell, self._pause = tell, pause

    def limit(self, milliseconds: int) -> None:
        """See ``Hands``."""
        self._tell("migrate-set-parameters", {"downtime-limit": milliseconds})

    def throttle(self) -> str:
        """See ``Hands``."""
        self._tell("migrate-set-parameters", AT_WORK)
        return "QEMU's auto-converge slows the guest down"

    def pause(self) -> str:
        """See ``Hands``."""
        if not self._pause.begin():
            return "the guest does not run, and is not stopped"
        return "the guest is stopped for the rest, and goes on where it arrives"
