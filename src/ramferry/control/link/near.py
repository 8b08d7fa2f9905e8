"""A probe of the link between two hosts, before anything moves over it: the near end.

``ramferry plan link`` waits at the far end (``control.link.far``). A TCP connection to a wrong port
would do harm: a QEMU that waits for its guest takes it for its source, and ends when it closes. So
the near end asks by UDP first, at the same address, and connects only if a waiting probe answers
with the number that it was sent. Then it opens one connection to talk, and fills as many others as
the migration has channels; the far end counts for about a second, and says what came.
"""

from __future__ import annotations

import os
import struct
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from ramferry.errors import Cancelled, PeerUnreachable
from ramferry.interruption import pause
from ramferry.transport.address import TcpAddress
from ramferry.transport.probe import Place, ProbeConnection, ask, fill, places_of
from ramferry.typed import decode

MOST_CONNECTIONS: Final = 16
"""Most connections that are filled; more of them do not use a link any better."""
TRIES: Final = 4
"""Unanswered datagrams to each address of the far host after which no probe is thought to wait
there."""
ANSWER_SECONDS: Final = 0.5
MOST_REPLY: Final = 4096
"""Most bytes of the far end's answer."""

ASKS: Final = b"RFProbe1"
ANSWERS: Final = b"RFReady1"
GO: Final = b"!"
_FORMAT: Final = struct.Struct(">8sBB16s")


class Header(NamedTuple):
    """The content of the datagram, and the first bytes of each connection."""

    magic: bytes
    number: int
    """0 for the connection that talks; the filled ones count from 1."""
    filled: int
    """Number of connections that are filled."""
    nonce: bytes

    def packed(self) -> bytes:
        """The bytes that go on the wire."""
        return _FORMAT.pack(*self)


HEADER_SIZE: Final = _FORMAT.size


class Said(msgspec.Struct, frozen=True):
    """The far end's answer, after it has counted."""

    rate: Annotated[float, Meta(gt=0, lt=1e15)]
    """Bytes a second."""
    bytes: Annotated[int, Meta(gt=0, lt=1 << 62)]
    host: str

    @property
    def host_shown(self) -> str:
        """The host's name as it may stand in a sentence."""
        return "".join(one for one in self.host[:64] if one.isprintable())


def said_of(raw: bytes) -> Said:
    """The far end's answer.

    :raise ValueError: it makes no sense.
    """
    try:
        return decode(raw, Said)
    except RecursionError:
        raise ValueError("what the far end says nests too deep") from None


def parse_header(raw: bytes) -> Header | None:
    """The inverse of ``packed``; None if ``raw`` is not a near end's header."""
    if len(raw) != HEADER_SIZE or not raw.startswith(ASKS):
        return None
    return Header(*_FORMAT.unpack(raw))


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """The result of a probe."""

    rate: float
    """Bytes a second."""
    connections: int
    all_bytes: int
    near: str
    """The IP address from which it was sent."""
    far: str
    far_host: str
    """The far host's own name."""

    def __str__(self) -> str:
        return (
            f"the link was probed: {self.connections} connections from {self.near} to {self.far}"
            f" ({self.far_host}) carried {self.rate / 1e6:.1f} MB/s for a second,"
            f" {self.all_bytes / 1e6:.0f} MB in all"
        )


def probe_link(address: TcpAddress, channels: int, stop: threading.Event) -> LinkFigures:
    """Fill the link to a waiting probe for about a second.

    :param channels: how many the migration has; at most ``MOST_CONNECTIONS`` are filled.
    :raise PeerUnreachable: no probe waits there, or it went away. No connection was made to
        anything else.
    :raise Cancelled: ``stop`` was set before one answered.
    """
    header = Header(ASKS, 0, min(channels, MOST_CONNECTIONS), os.urandom(16))
    place = _ask(address, header, stop)
    try:
        with ExitStack() as stack:
            talk, *filled = (
                stack.enter_context(_connected(place, header._replace(number=number)))
                for number in range(header.filled + 1)
            )
            if talk.receive(len(GO)) != GO:
                raise ConnectionError("it does not take the probe")
            fill(filled)
            said = said_of(talk.receive_rest(MOST_REPLY))
            return LinkFigures(
                said.rate, header.filled, said.bytes, talk.near, talk.far, said.host_shown
            )
    except (OSError, ValueError) as error:
        raise PeerUnreachable(f"the probe of the link to {address} failed: {error}") from error


def _ask(address: TcpAddress, header: Header, stop: threading.Event) -> Place:
    """Which of the host's addresses a probe answered at.

    :raise PeerUnreachable: no probe answers.
    """
    try:
        found = places_of(address)
    except OSError as error:
        raise PeerUnreachable(f"{address.host} has no address: {error.strerror}") from error
    wanted = header._replace(magic=ANSWERS).packed()
    for _ in range(TRIES):
        for place in found:
            if stop.is_set():
                raise Cancelled("interrupted; the guest was not touched")
            with suppress(OSError):  # unreachable, refused or silent: asked again
                if ask(place, header.packed(), HEADER_SIZE + 1, ANSWER_SECONDS) == wanted:
                    return place
        pause(stop, 0.05)
    raise PeerUnreachable(
        f"no probe answers at {address}, asked by UDP since a TCP connection would end a QEMU that"
        f" waits there: run `ramferry plan link tcp:0.0.0.0:{address.port}` on that host and let"
        " UDP and TCP to that port through, or give the rate itself"
    )


def _connected(place: Place, header: Header) -> ProbeConnection:
    connection = ProbeConnection.to(place)
    connection.send(header.packed())
    return connection
