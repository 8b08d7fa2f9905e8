"""The first bytes of every connection between two Ramferrys (``docs/relay-protocol.md``)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ramferry.errors import RemoteProtocolError
from ramferry.wire import grammar, packets

MAGIC: Final = b"RFRY"
LAYOUT_VERSION: Final = 1
"""Version of these bytes; what is spoken after them is agreed in the hello."""
_LAYOUT: Final = struct.Struct(">4sHBx16s")
OPENING_SIZE: Final = _LAYOUT.size
"""24 bytes."""
TOKEN_SIZE: Final = 16
NO_TOKEN: Final = bytes(TOKEN_SIZE)


class Kind(IntEnum):
    """What a connection is for."""

    CONTROL = 1
    """Begins a migration: a hello follows."""
    MAIN = 2
    MULTIFD = 3
    RESUMED = 4
    """A control connection in place of one that broke."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The opening of one connection, which the side that connects sends."""

    kind: Kind
    token: bytes = NO_TOKEN
    """16 bytes that the acceptor chose for the migration; zeros for ``Kind.CONTROL``."""

    def encode(self) -> bytes:
        """The 24 bytes."""
        return _LAYOUT.pack(MAGIC, LAYOUT_VERSION, self.kind, self.token)


def parse_opening(raw: bytes | bytearray | memoryview) -> Opening:
    """Read the 24 bytes.

    :raise RemoteProtocolError: another magic, an unknown version or kind, or a byte that has to be
        zero and is not.
    """
    magic, version, kind, token = _LAYOUT.unpack(raw)
    if magic != MAGIC:
        raise RemoteProtocolError("a Ramferry", who_begins_so(magic))
    if version != LAYOUT_VERSION:
        raise RemoteProtocolError(f"opening version {LAYOUT_VERSION}", f"version {version}")
    if raw[7]:
        raise RemoteProtocolError("a zero byte in the opening", f"{raw[7]:#04x}")
    try:
        return Opening(Kind(kind), token)
    except ValueError:
        raise RemoteProtocolError("a known kind of connection", f"kind {kind}") from None


_FOREIGN: Final = (
    (grammar.MAGIC, "a QEMU's main channel: give the relay an address with tcp: for that"),
    (
        packets.MAGIC.to_bytes(4, "big"),
        "a QEMU's multifd channel: give the relay an address with tcp: for that",
    ),
    (b"\x16\x03", "a TLS handshake, and this address is in clear"),
    (b"\x15\x03", "somebody who speaks TLS only: give this side --tls-creds as well"),
    (b"SSH-", "an SSH server or client"),
    (b"HTTP", "a web server"),
    (b"GET ", "a web client"),
    (b'{"QM', "a QMP monitor"),
)


def who_begins_so(first: bytes | bytearray | memoryview) -> str:
    """What is known to begin a connection with these bytes, at least four, as a phrase."""
    begun = bytes(first[:4])
    for magic, who in _FOREIGN:
        if begun.startswith(magic):
            return who
    return f"bytes {begun.hex()}"
