"""Connections that were accepted, before and after it is known what they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from ramferry.flows.inlet.calls import Call
from ramferry.flows.peer.stream import Tunnel
from ramferry.flows.peer.visit import Visit
from ramferry.transport.connection import Connection
from ramferry.wire import grammar, packets
from ramferry.wire.digests import SealReader
from ramferry.wire.multifd import parse_initial
from ramferry.wire.packets import CHANNEL_ID_AT, INITIAL_SIZE, Initial
from ramferry.wire.relay_opening import OPENING_SIZE, PLACE_SIZE, Kind, parse_place

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
    rests: bool = False
    """True once it is one of a tunnel's connections, which is read by the tunnel alone."""

    @property
    def silent(self) -> bool:
        """True if it has sent nothing, so that it may still become a main."""
        if self.opens:
            return not self.first
        return self.kind not in (Kind.MULTIFD, Kind.STREAM) and MAIN_MAGIC.startswith(self.first)

    def belong(self, visit: Visit, kind: Kind) -> None:
        """Its opening has come, and says which migration's it is.

        :raise RemoteProtocolError: that has its main already.
        """
        self.opens, self.kind = False, kind
        self.call = replace(self.call, visit=visit)
        self.first.clear()
        if kind is Kind.MAIN:
            self.connection = visit.main(self.connection)

    def take_place(self, raw: bytes) -> Tunnel | None:
        """Its place in a tunnel has come; returns the tunnel if it was the last one.

        :raise RemoteProtocolError: there is no such place.
        """
        assert self.call.visit is not None
        self.rests = True
        return self.call.visit.stream(self.connection, parse_place(raw))

    def multifd(self, first: bytes) -> MultifdArrival:
        """The channel whose initial packet has come.

        :raise RemoteProtocolError: it is none, or has come already.
        """
        visit = self.call.visit
        seal = None if visit is None else visit.seal(first[CHANNEL_ID_AT])
        initial = parse_initial(first if seal is None else seal.initial(first))
        return MultifdArrival(self.connection, initial, self.call, seal)

    @property
    def channel(self) -> str:
        """What it has said that it is, if it is a channel; else empty."""
        first = bytes(self.first[:4])
        begun = self.kind is Kind.MULTIFD or (first and MULTIFD_MAGIC.startswith(first))
        if self.kind is Kind.STREAM:
            return "a tunnel's connection"
        return "a multifd channel" if begun else ""

    @property
    def belies_its_opening(self) -> bool:
        """True if what came is not what its opening had said."""
        return self.kind in _MAGIC_OF and not _MAGIC_OF[self.kind].startswith(bytes(self.first[:4]))

    @property
    def wanted(self) -> int:
        """How many bytes tell what it is."""
        if self.opens:
            return OPENING_SIZE
        if self.kind is Kind.STREAM:
            return PLACE_SIZE
        return INITIAL_SIZE if self.first[:4] == MULTIFD_MAGIC else 4


@dataclass(frozen=True, slots=True)
class MainArrival:
    """A main channel; its magic has been read, unless it is a tunnel."""

    connection: Connection
    first: bytes
    call: Call
    tunnel: Tunnel | None = None
    """``connection``, if it is a tunnel: of that nothing has been read."""
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
