"""Codecs that work on no page: they cost nothing, or a given time without the GIL.

What a relay with them carries is the most that it can carry with any codec, and what its packets
cost is what they cost beside every codec.
"""

from __future__ import annotations

import hashlib
import time
from typing import Final

from ramferry.codec.base import MAX_PAYLOAD
from ramferry.codec.table import replace_codecs
from ramferry.vocabulary import PACKET_BYTES, Buffer

RATIO: Final = 3
"""Bytes of pages for each byte of payload: about what QATzip makes of the Silesia data."""
PAYLOAD: Final = PACKET_BYTES // RATIO
"""Bytes of a full packet's payload, as ``IdleEncoder`` makes it."""
_PROBE: Final = 4000
"""Rounds that are timed to learn what one takes: 1 to 2 ms."""
_TRIES: Final = 7


class Work:
    """CPU time in one call that releases the GIL, as a codec's best call does.

    The call is PBKDF2, because its time is proportional to a number of rounds and needs no memory
    that would be counted as the relay's or taken from its caches.
    """

    def __init__(self, micros: float) -> None:
        """:param micros: microseconds of CPU that each call shall take, by this process's own
        measurement now; 0 for none."""
        self.rounds = rounds_for(micros, _fastest(1), _fastest(_PROBE)) if micros else 0

    def do(self) -> None:
        """Take the time."""
        if self.rounds:
            _turn(self.rounds)


def rounds_for(micros: float, one: float, many: float) -> int:
    """How many rounds take ``micros``, at least 1.

    :param one: seconds that a call with one round takes.
    :param many: seconds that one with ``_PROBE`` rounds takes.
    """
    each = max(many - one, 1e-9) / (_PROBE - 1)
    return max(1, 1 + round((micros / 1e6 - one) / each))


def _turn(rounds: int) -> None:
    hashlib.pbkdf2_hmac("sha256", b"ramferry", b"ramferry", rounds)


def _fastest(rounds: int) -> float:
    """Seconds of this thread that a call takes when nothing disturbs it."""
    taken = []
    for _ in range(_TRIES):
        begun = time.thread_time()
        _turn(rounds)
        taken.append(time.thread_time() - begun)
    return min(taken)


class IdleEncoder:
    """Gives the first part of the pages as their compressed form."""

    backend = "idle"

    def __init__(self, work: Work) -> None:
        self._work = work

    def encode(self, pages: memoryview) -> list[Buffer]:
        """See ``Encoder``."""
        self._work.do()
        return [pages[: len(pages) // RATIO]]


class IdleDecoder:
    """Leaves the page buffer as it is."""

    backend = "idle"
    verbatim = False

    def __init__(self, work: Work) -> None:
        self._work = work

    def max_payload(self, pages: int) -> int:  # noqa: ARG002
        """As of the compressing methods."""
        return MAX_PAYLOAD

    def decode(self, payload: memoryview, out: memoryview) -> None:  # noqa: ARG002
        """See ``Decoder``; nothing is read and nothing written."""
        self._work.do()


def put_in(method: str, micros: float) -> None:
    """Have idle codecs stand for a method in this process.

    :param micros: microseconds of CPU for each packet.
    """
    work = Work(micros)
    replace_codecs(method, lambda *_: IdleEncoder(work), lambda *_: IdleDecoder(work))
