"""The hardware backend: gzip-ext on a QAT device, and the CPU for whatever the device does not do.

The CPU takes over call by call: for members that are too short for a device, for a call that
failed, and for the rest once the device is lost. Nothing that a device gave is passed on before
its members' lengths and CRCs were compared with the data (``members.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from ramferry.qatzip import members
from ramferry.qatzip.device import LEAST_BYTES, DeviceError, DeviceSession
from ramferry.qatzip.library import GONE, NO_INSTANCE, Library
from ramferry.qatzip.members import Member
from ramferry.qatzip.software import SoftwareBackend
from ramferry.vocabulary import GZIP_EXT, MAX_DEFLATE_RATIO, MEMBER_SIZE, Buffer

QAT = "qat"

CALL_BYTES = 1024 * 1024
"""Most data of one call; above 2 MiB the library starts a thread for each."""

PATIENCE = 3
"""Failures in a row after which the device counts as lost: each failure of a hanging device takes
as long as its time-out."""

HARDWARE_XFL = 0
ACCEPTED_XFL = (0, 2, 4)
"""Values of XFL that a device accepts in the header of a member to inflate."""


class HardwareBackend:
    """Compresses and decompresses gzip-ext on a device; a :class:`base.Backend`."""

    accelerated = True

    def __init__(self, library: Library, level: int) -> None:
        """Use a device that was proven; a session is set up at the first call."""
        self._library = library
        self._device = DeviceSession(library, level)
        self._software = SoftwareBackend(level, GZIP_EXT, MEMBER_SIZE)
        self._used: dict[str, None] = {}
        self._shares: dict[str, int] = {}
        self._failures = 0
        self.lost = False
        """Whether the device is given up for the rest of the session."""
        self.trouble = ""
        """Why the device failed in the latest call that failed; empty if none did."""

    @property
    def name(self) -> str:
        """Who did the work, with its share: "qat", "qat 93 % / isa-l 7 %"."""
        return describe(self.shares) or QAT

    @property
    def inflater(self) -> str:
        """See :attr:`base.Backend.inflater`."""
        return self.name

    @property
    def shares(self) -> Mapping[str, int]:
        """Bytes of data, uncompressed, that each engine took or gave so far."""
        return self._shares.copy()  # the session's thread may be adding an engine

    @property
    def used(self) -> str:
        """Every engine that ran in the latest call, in the order of its first use."""
        return " + ".join(self._used)

    def buffer(self, size: int) -> memoryview:
        """Memory that the device reads and writes without a copy: fill it, or have it filled."""
        return self._library.buffer(size)

    def compress_parts(self, data: memoryview) -> list[Buffer]:
        """See :meth:`base.Backend.compress_parts`."""
        self._used = {}
        parts: list[Buffer] = []
        for piece in self._pieces(data):
            parts += self._compress(piece, alone=len(piece) == len(data))
        return parts

    def decompress(self, data: memoryview, max_size: int) -> bytearray:
        """See :meth:`base.Backend.decompress`."""
        chain = members.walk(data)
        total = sum(member.src for member in chain or ())
        if chain and total <= max_size and self._inflatable(chain):
            out = bytearray(total)
            self.decompress_into(data, memoryview(out))
            return out
        self._used = {}
        out = self._software.decompress(data, max_size)
        self._count(self._software.used, len(out))
        return out

    def decompress_into(self, payload: memoryview, out: memoryview) -> None:
        """See :meth:`base.Backend.decompress_into`."""
        self._used = {}
        chain = members.walk(payload)
        exact = chain and sum(member.src for member in chain) == len(out)
        if chain is None or not exact or self.lost or not self._inflatable(chain):
            self._inflate_on_cpu(payload, out)
            return
        at = 0
        for group in _groups(chain):
            end = at + sum(member.src for member in group)
            self._inflate(payload, group, out[at:end])
            at = end

    def _pieces(self, data: memoryview) -> Iterator[memoryview]:
        """Cut ``data`` into pieces of one call each. A last member that is too short for a device
        is a piece of its own. Empty data is one piece."""
        short = len(data) % MEMBER_SIZE
        tail = short if short < LEAST_BYTES else 0
        head = len(data) - tail
        for start in range(0, head, CALL_BYTES):
            yield data[start : min(start + CALL_BYTES, head)]
        if tail or not head:
            yield data[head:]

    def _compress(self, piece: memoryview, *, alone: bool) -> list[Buffer]:
        if not self.lost and len(piece) >= LEAST_BYTES:
            try:
                made = self._device.compress(piece)
                self._verify_compressed(made, piece)
                self._worked(len(piece))
                # the session's next call writes into the same memory
                return [made if alone else bytes(made)]
            except DeviceError as error:
                self._failed(error)
        self._count(self._software.name, len(piece))
        parts = self._software.compress_parts(piece)
        return parts if alone else [bytes(part) for part in parts]

    def _verify_compressed(self, made: memoryview, data: memoryview) -> None:
        """Compare what a device wrote with what it was given, and see that it was a device."""
        chain = members.walk(made)
        if chain is None or not members.hold(chain, data):
            self._device.drop()
            raise DeviceError("what the device wrote is not what it was given")
        if any(member.xfl != HARDWARE_XFL or member.src > MEMBER_SIZE for member in chain):
            self._device.drop()
            raise DeviceError("QATzip compressed in software", next(iter(GONE)))

    def _inflatable(self, chain: list[Member]) -> bool:
        """Whether a device takes these members."""
        least, most = LEAST_BYTES, MEMBER_SIZE
        return all(
            least <= member.src <= most
            and member.xfl in ACCEPTED_XFL
            and member.src <= MAX_DEFLATE_RATIO * (member.end - member.start)
            for member in chain
        )

    def _inflate(self, payload: memoryview, group: list[Member], out: memoryview) -> None:
        """Inflate some members into ``out``, on the device if it will."""
        part = payload[group[0].start : group[-1].end]
        if not self.lost:
            try:
                self._device.decompress(part, out)
                if not members.hold(group, out):
                    self._device.drop()
                    raise DeviceError("what the device inflated has another CRC")
                self._worked(len(out))
                return
            except DeviceError as error:
                self._failed(error)
        # the CPU is the judge: it accepts what the device failed in, or says what is damaged
        self._inflate_on_cpu(part, out)

    def _inflate_on_cpu(self, payload: memoryview, out: memoryview) -> None:
        self._software.decompress_into(payload, out)
        self._count(self._software.used, len(out))

    def _worked(self, size: int) -> None:
        self._failures = 0
        self._count(QAT, size)

    def _failed(self, error: DeviceError) -> None:
        """Remember why. Give the device up if it is gone or has failed ``PATIENCE`` times in a
        row."""
        self.trouble = str(error)
        if error.code in NO_INSTANCE:
            return
        self._failures += 1
        self.lost = error.code in GONE or self._failures >= PATIENCE
        if self.lost:
            self._device.drop()

    def _count(self, engine: str, size: int) -> None:
        self._used[engine] = None
        self._shares[engine] = self._shares.get(engine, 0) + size


def _groups(chain: list[Member]) -> Iterator[list[Member]]:
    """Cut a chain into calls of at most CALL_BYTES of data."""
    ends = list(accumulate(member.src for member in chain))
    start = 0
    for index in range(1, len(chain) + 1):
        before = ends[start - 1] if start else 0
        if index == len(chain) or ends[index] - before > CALL_BYTES:
            yield chain[start:index]
            start = index


def describe(shares: Mapping[str, int]) -> str:
    """Engines with their shares, the largest first: "qat 93 % / isa-l 7 %"; a single one without.

    If there are several, each has at least 1 %, and their sum is 100 %.
    """
    total = sum(shares.values())
    busy = sorted((one for one in shares if shares[one]), key=lambda one: -shares[one])
    if len(busy) < 2:
        return "".join(busy or list(shares)[:1])
    percent = {one: max(1, round(100 * shares[one] / total)) for one in busy[1:]}
    percent = {busy[0]: 100 - sum(percent.values())} | percent
    return " / ".join(f"{one} {percent[one]} %" for one in busy)
