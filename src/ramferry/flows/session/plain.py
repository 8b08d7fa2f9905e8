"""What is known of a migration that opens no multifd channels, and so is one plain stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ramferry.flows.session.turns import Turn
from ramferry.patience import Patience
from ramferry.transport.connection import Connection
from ramferry.wire.relay_messages import STREAM_BYTES, STREAM_SILENT

RECOVER: Final = (
    "it had switched to postcopy: see with `info status` on both QEMUs, and what is postcopy-paused"
    " there goes on with `migrate_recover` at the destination and `migrate -r` at the source"
)
"""What a person may do where a migration broke behind its switch to postcopy; a clause."""
LET_GO: Final = (
    "without a return path the source has let go of its guest: if it does not run at the "
    "destination (`info status`), `cont` at the source lets it go on"
)
"""The same where the source was never going to be told; a clause."""


LATE: Final = 0.25
"""Seconds that channels are waited for whose number a person has told, and of which none came at
all: a forwarder on the way may hold them back, each for about as long. It was 1 s, which was 17 %
of what a guest of 512 MiB took at 250 Mbit/s (``make compare-plain``)."""


@dataclass(slots=True)
class Plain:
    """One plain stream, or what might become one; written by main's thread."""

    possible: bool = False
    """Whether the far end takes one: a Ramferry that says so."""
    chosen: bool = False
    """Whether it is one: its source has opened no multifd channels, or this is no migration."""
    decided: bool = False
    """Whether it is known which of both it is, and that it can be carried."""
    raw: bool = False
    """Whether it is not a migration that this Ramferry can read: bytes, both ways."""
    advised: bool = False
    """Whether its source has said that it may switch to postcopy."""
    postcopy: bool = False
    """Whether it has switched to postcopy."""
    unread: str = ""
    """Why its bytes are not parsed any more; empty while they are."""
    unanswered: bool = False
    """Whether it has no return path, so that its source lets go of its guest by itself."""
    incoming: Sequence[Connection] = ()
    """The connections by which it comes."""
    streams: int = 0
    """How many connections carry it between two Ramferrys."""
    at_once: bool = False
    """Whether it is connected onward before anything has come of it."""
    turn: Turn = field(default_factory=Turn, repr=False)
    """When that is: after the one that came before it."""
    tell_reached: Callable[[], None] = field(default=lambda: None, repr=False)
    """Tells the Ramferry that it comes from that it has reached the destination."""
    _late: Patience | None = field(default=None, repr=False)
    _one_ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def kind(self) -> str:
        """As ``RelayResult.kind``."""
        if not self.chosen:
            return "multifd"
        return "stream" if self.raw else "plain"

    @property
    def told(self) -> str:
        """What the far end is told of it, as ``Hello.stream``."""
        if not self.raw:
            return ""
        return STREAM_SILENT if self.at_once else STREAM_BYTES

    @property
    def open(self) -> bool:
        """Whether main waits here until it is known what it is."""
        return (self.possible or self.chosen) and not self.decided

    @property
    def blind(self) -> bool:
        """Whether it is carried as bytes, so that nobody sees where it switches over."""
        return self.raw or self.postcopy or bool(self.unread)

    @property
    def advice(self) -> str:
        """What a person has to know where it failed, as a clause; empty if nothing beyond that."""
        return RECOVER if self.postcopy else ""

    def reached(self) -> None:
        """The destination has its connection: the stream that came after it may follow."""
        self.turn.past()
        self.tell_reached()

    def half(self) -> bool:
        """One direction of it has ended; returns whether the other one had already."""
        with self._lock:
            both, self._one_ended = self._one_ended, True
            return both

    def choose(self, *, raw: bool = False, at_once: bool = False) -> None:
        """It is a plain stream.

        :param raw: it is no migration, or not to be read as one.
        """
        self.chosen = True
        self.raw = self.decided = raw
        self.at_once = at_once

    def waited(self) -> bool:
        """Whether channels that were promised have been waited for; a look."""
        self._late = self._late or Patience(LATE)
        return self._late.over
