"""How libvirt is told what ``Steering`` decides for a domain."""

from __future__ import annotations

import time
from collections.abc import Callable

from ramferry.control.libvirt.contract import RUNNING, Connection
from ramferry.control.libvirt.end import DomainEnd
from ramferry.errors import RamferryError


class DomainHands:
    """See ``Hands``."""

    def __init__(self, source: DomainEnd, note: Callable[[str], None]) -> None:
        """
        :param source: the caller's.
        :param note: called with what a person should know.
        """
        self._source, self._note = source, note
        self._refused = False
        self._stopped: float | None = None

    def limit(self, milliseconds: int) -> None:
        """See ``Hands``."""
        error = self._try(lambda near: near.set_max_downtime(self._source.name, milliseconds))
        if error is not None and not self._refused:
            self._refused = True
            self._note(f"libvirt does not take how long the guest may stand still: {error}")

    def throttle(self) -> str:
        """See ``Hands``."""
        return (
            "libvirt, which takes no such wish in mid-migration, has had auto-converge on from the"
            " beginning"
        )

    def pause(self) -> str:
        """See ``Hands``."""
        if self._source.look() != RUNNING:
            return "the guest does not run, and is not stopped"
        stopped = time.monotonic()
        error = self._try(lambda near: near.suspend(self._source.name))
        if error is not None:
            return f"libvirt was to stop the guest for the rest: {error}"
        self._stopped = stopped
        return "libvirt has stopped the guest for the rest, and lets it go on where it arrives"

    @property
    def still_ms(self) -> int | None:
        """Milliseconds since the guest was stopped; None if it was not."""
        if self._stopped is None:
            return None
        return round((time.monotonic() - self._stopped) * 1000)

    def _try(self, question: Callable[[Connection], None]) -> RamferryError | None:
        try:
            self._source.ask(question)
        except RamferryError as error:
            return error
        return None
