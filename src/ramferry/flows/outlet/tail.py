"""The end of main, from ram's END on, held back until all of it is here.

A QEMU that has read the EOF byte starts its guest, and answers SHUT with an error if the connection
ends in the VM description behind that (7.2 and 10.0): its source goes on then, and two guests run.
So where the source's side may be lost and ask later what became of it, the destination gets all of
the end or none. A device state has some 100 KB, and its way here and on is the same as before.
"""

from __future__ import annotations

from typing import Final

from ramferry.errors import MigrationFailed
from ramferry.flows.session.session import Session
from ramferry.patience import Patience
from ramferry.vocabulary import Buffer

_MOST: Final = 64 << 20
"""Most bytes that are held back."""
_WAIT: Final = 2.0
"""Seconds without a byte after which an end that cannot be found is not waited for any more."""
SIGN: Final = 1.0
"""Seconds that a Ramferry, whose main broke in the switchover, may take to say that its source gave
the migration up; it says so before it ends main, on another connection."""
ENDLESS: Final = (
    "main: the device state has no end that can be found (is suppress-vmdesc on?), so it is not "
    "held back until it is whole"
)
"""A note, where all is let go as it comes."""
WITHDRAWN: Final = (
    "main: the source ended the migration in the switchover, before the answer: the rest of the "
    "stream was withdrawn, so that the destination does not start the guest; see with `info status`"
    " there that it does not run"
)
"""An error, where the destination has not got all of it."""
UNCLOSED: Final = (
    "the guest runs at the destination, and the source does not close the migration as one that has"
    " heard of it: see with `info status` that its guest does not run"
)
"""A note, where main's end should have come from the source."""


def withdrawn(session: Session) -> MigrationFailed:
    """The error where the destination has not got all of the stream, so that it has no guest; for
    ``Session.fail``, which makes it under its lock."""
    session.taken = False
    return MigrationFailed(WITHDRAWN)


class Tail:
    """What was held back; used by main's thread."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.end: int | None = None
        """Offset in the stream at which it may end."""
        self._silence = Patience(_WAIT)

    def add(self, data: Buffer) -> None:
        """Hold back more."""
        self.data += data
        self._silence.restart()

    def whole(self, offset: int) -> bool:
        """Whether all of the stream is here, if it has come up to ``offset``."""
        return self.end == offset

    @property
    def too_much(self) -> bool:
        """Whether more is held back than may be."""
        return len(self.data) > _MOST

    @property
    def waited(self) -> bool:
        """Whether it was waited for long enough; a look."""
        return self._silence.over
