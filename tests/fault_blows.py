"""What a fault proxy does to connections, and to the bytes that pass. No sockets here."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Fault = Literal[
    "cut",
    "half-cut",
    "reset",
    "truncate",
    "stall",
    "dead",
    "delay",
    "trickle",
    "garbage",
    "flip",
    "insert",
    "drop",
    "duplicate",
    "swallow",
    "reorder",
]
"""Both ways end; one way ends and its sender is not told; both are reset; both end in the middle of
a message; nothing passes for a time; nothing passes, then a reset; each piece comes later; few
bytes at a time; noise from then on; one bit; some bytes too many; too few; twice; a connection that
is accepted and led nowhere; one that is led on after the next."""
Way = Literal["forward", "back", "both"]

ENDING: Final = frozenset({"cut", "half-cut", "reset", "truncate"})
"""They end connections; with ``skip`` after so many bytes, else at once."""
LASTING: Final = frozenset({"stall", "dead", "delay", "trickle"})
"""They slow bytes down for ``seconds``."""
ALTERING: Final = frozenset({"flip", "insert", "drop", "duplicate"})
"""They change the bytes once."""
CONNECTING: Final = frozenset({"swallow", "reorder"})
"""They concern a connection that is yet to be opened."""
MOST_BYTES: Final = 64
"""That are inserted, dropped or duplicated."""


@dataclass(frozen=True, slots=True)
class Blow:
    """What happens to which connections.

    Garbage goes on to the channel's end: QEMU's zstd frames have no checksum, so that what hits
    nothing but their literals cannot be seen; a header, which comes sooner or later, can.
    """

    fault: Fault
    channel: str
    """A connection's name ("main", "multifd 1"), or which it is in the order of their opening
    ("connection 0"); "" is every one."""
    way: Way = "both"
    """Which direction is hit. A cut ends both."""
    seconds: float = 0.0
    """How long a stall, a delay or a trickle lasts; a "dead" connection is reset then, one that is
    reordered waits no longer for the next."""
    skip: int = 0
    """Bytes of the direction that pass before; for what ends or changes."""
    seed: int = 0
    """Chooses the bit, the noise and how many bytes."""

    def hits(self, name: str, order: int, way: Way) -> bool:
        """Whether it concerns this direction of the connection with this name and number."""
        return self.concerns(name, order) and (
            way == "both" or self.way in (way, "both") or self.fault in ("cut", "reset", "truncate")
        )

    def concerns(self, name: str, order: int) -> bool:
        """Whether it concerns this connection."""
        return self.channel in ("", name, f"connection {order}")


class Wound:
    """Where a blow meets the bytes: counts them, and says once that it is there.

    One is shared by all connections that a blow hits; the first that has enough bytes is hit.
    """

    def __init__(self, blow: Blow) -> None:
        self._blow = blow
        self._left = blow.skip
        self._dice = random.Random(blow.seed)
        self._lock = threading.Lock()
        self._opened = False

    def opens(self, piece: bytes) -> int | None:
        """The offset in ``piece`` at which it happens, if it does so here: once."""
        with self._lock:
            if self._opened:
                return None
            if self._left >= len(piece):
                self._left -= len(piece)
                return None
            self._opened = True
            return self._left

    def altered(self, piece: bytes, at: int) -> bytes:
        """The piece with what an altering blow makes of it at that offset."""
        return _ALTER[self._blow.fault](piece, at, self._dice)

    def noise(self, size: int) -> bytes:
        """Garbage."""
        return self._dice.randbytes(size)


def _flip(piece: bytes, at: int, dice: random.Random) -> bytes:
    return piece[:at] + bytes([piece[at] ^ 1 << dice.randrange(8)]) + piece[at + 1 :]


def _insert(piece: bytes, at: int, dice: random.Random) -> bytes:
    return piece[:at] + dice.randbytes(dice.randint(1, MOST_BYTES)) + piece[at:]


def _drop(piece: bytes, at: int, dice: random.Random) -> bytes:
    return piece[:at] + piece[at + dice.randint(1, MOST_BYTES) :]


def _duplicate(piece: bytes, at: int, dice: random.Random) -> bytes:
    return piece[: at + dice.randint(1, MOST_BYTES)] + piece[at:]


_ALTER: Mapping[str, Callable[[bytes, int, random.Random], bytes]] = {
    "flip": _flip,
    "insert": _insert,
    "drop": _drop,
    "duplicate": _duplicate,
}
