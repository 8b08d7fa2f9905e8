"""An encoder that looks at each packet, and compresses it by what was chosen for such pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ramferry.flows.choosing.uses import Use
from ramferry.policy.classes import classify
from ramferry.policy.measurements import NONE, Candidate, PageClass
from ramferry.policy.trials import sampled
from ramferry.vocabulary import METHOD_FLAGS, PACKET_BYTES, Buffer

if TYPE_CHECKING:
    from ramferry.flows.choosing.chooser import Chooser

SHRUNK: Final = 0.97
"""A payload that is larger than this share of its pages is not worth inflating: they go as they
are."""

TELLING: Final = PACKET_BYTES // 4
"""Bytes of pages of a packet that is tried on, at least: what a packet costs however small it is
would count for each byte. By one of 4 KiB zstd would take 200 ns a byte, and was not tried again
in the whole of a migration that went uncompressed."""

ASKED, FIRST = 8, 16
"""Where nothing is compressed one packet in so many is classified, after so many at first; those
between count as its like. It takes 14 µs at least, of the 0.4 ms that a packet takes of a relay
that passes it on. Packets that are tried on (``policy.trials.STEPS``) are among them."""


class AdaptiveEncoder:
    """Compresses the packets of one channel; an ``Encoder`` whose method is that of the last
    packet, or of all."""

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self._unpacked = chooser.method or "none"
        self.method = self._unpacked
        """The method of the packet that was encoded last."""
        self._encoders = chooser.codecs()
        self.uses: dict[tuple[PageClass, Candidate], Use] = {}
        """Read by the chooser."""
        self.wire = dict.fromkeys(METHOD_FLAGS, 0)
        """Bytes of payload sent, by method; read by the chooser."""
        self._packets = 0
        self._use = Use(PageClass.BINARY, NONE)
        """Of the packet that was classified last."""
        self._backends: dict[str, None] = {}

    @property
    def backend(self) -> str:
        """What did the work so far, for example "zstd + isa-l"."""
        return " + ".join(self._backends) or "none"

    @property
    def plain(self) -> bool:
        """Whether nothing is compressed now, of whatever class."""
        return self._chooser.plain

    @property
    def seconds(self) -> float:
        """Core seconds in encoders so far."""
        return sum(use.clock.seconds for use in list(self.uses.values()))

    def encode(self, pages: memoryview) -> list[Buffer]:
        """See ``Encoder``; tells the method by ``method``."""
        number, use = self._packets, self._use
        self._packets = number + 1
        if number % ASKED == 0 or number < FIRST or not (use.plain and self._chooser.plain):
            use = self._use = self._use_of(number, pages)
        parts = self._compressed(use, pages)
        self.method = use.candidate.method if parts else self._unpacked
        sent = self._encoders.payload(parts or self._encoders.plain(pages))
        wire = sum(map(len, sent))
        use.wire += wire
        self.wire[self.method] += wire
        return sent

    def _use_of(self, number: int, pages: memoryview) -> Use:
        """What is chosen for a packet, of which a trial gets a copy if it is its turn."""
        chooser = self._chooser
        kind = classify(pages)
        if len(pages) >= TELLING and sampled(number) and chooser.wants(kind):
            chooser.trials.offer(kind, pages)
        key = kind, chooser.methods[kind]
        if (use := self.uses.get(key)) is None:
            use = self.uses[key] = Use(*key)
        return use

    def _compressed(self, use: Use, pages: memoryview) -> list[Buffer]:
        """Pages as a candidate has them; nothing if they do not shrink."""
        size = len(pages)
        if use.plain:
            use.clock.size += size
            return []
        encoder = self._encoders.of(use.candidate)
        coded = use.clock.run(size, encoder.encode, pages)
        if sum(map(len, coded)) > size * SHRUNK:
            return []
        self._backends[encoder.backend] = None
        return coded
