"""Connections that were accepted, before and after it is known what they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ramferry.flows.inlet.calls import Call
from ramferry.transport.connection import Connection
from ramferry.wire import grammar, packets
from ramferry.wire.digests import SealReader
from ramferry.wire.packets import INITIAL_SIZE, Initial
from ramferry.wire.relay_opening import OPENING_SIZE, Kind

MAIN_MAGIC: Final = grammar.MAGIC
MULTIFD_MAGIC: Final = packets.MAGIC.to_bytes(4, "big")
_MAGIC_OF: Final = {Kind.MAIN: MAIN_MAGIC, Kind.MULTIFD: MULTIFD_MAGIC}


@dataclass(eq=False, slots=True)
class Caller:
    """A connection whose kind is not known yet."""

    connection: Connection
    call: Call
    since: float
    opens: bool
    """True until its opening has come, where the far end has to be a Ramferry."""
    first: bytearray = field(default_factory=bytearray)
    """What has come of its opening or, after that, of the stream."""
    kind: Kind | None = None
    """What its opening says that it is; None if there was none."""

    @property
    def silent(self) -> bool:
        """True if it has sent nothing, so that it may still become a main."""
        if self.opens:
            return not self.first
        return self.kind is not Kind.MULTIFD and MAIN_MAGIC.startswith(self.first)

    @property
    def belies_its_opening(self) -> bool:
        """True if what came is not what its opening had said."""
        return self.kind is not None and not _MAGIC_OF[self.kind].startswith(bytes(self.first[:4]))

    @property
    def wanted(self) -> int:
        """How many bytes tell what it is."""
        if self.opens:
            return OPENING_SIZE
        return INITIAL_SIZE if self.first[:4] == MULTIFD_MAGIC else 4


@dataclass(frozen=True, slots=True)
class MainArrival:
    """A main channel; its magic has been read."""

    connection: Connection
    first: bytes
    call: Call
    raw: bool = False
    """Whether it is no migration, but any stream."""


@dataclass(frozen=True, slots=True)
class MultifdArrival:
    """A multifd channel; its initial packet has been read."""

    connection: Connection
    initial: Initial
    call: Call
    seal: SealReader | None = None
    """Checks the digests of its packets; None if there are none."""

    @property
    def name(self) -> str:
        """Its name in sentences."""
        return self.initial.name


@dataclass(frozen=True, slots=True)
class Departure:
    """A connection that the peer closed before its migration began."""

    call: Call
    channel: str
    """The channel's name; empty if the connection may have been a port probe."""
