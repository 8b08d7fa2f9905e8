"""Messages on the control connection between two Ramferrys (``docs/relay-protocol.md``).

A message is a big-endian length, a digest, and so many bytes of JSON. The first one of each side is
its hello. The digest is XXH3-64 of the JSON: one flipped bit in a hello is another agreement, which
may be one without digests.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Annotated, Final, Literal, TypeVar

import msgspec
import xxhash

from ramferry.errors import MigrationFailed, RamferryError, RemoteProtocolError
from ramferry.typed import decoder
from ramferry.vocabulary import MAX_CHANNELS, PAGE_SIZE, Buffer
from ramferry.wire.digests import LINK

_HEAD: Final = struct.Struct(">IQ")
HEAD_SIZE: Final = _HEAD.size
"""12 bytes."""
MOST: Final = 64 * 1024
"""Most bytes of a message's JSON."""

STREAM_BYTES: Final = "bytes"
STREAM_SILENT: Final = "silent"

MOST_TEXT: Final = 4096
"""Most characters of a sentence."""

_T = TypeVar("_T")
_Text = Annotated[str, msgspec.Meta(max_length=MOST_TEXT)]
_Name = Annotated[str, msgspec.Meta(max_length=64)]
_Names = Annotated[tuple[_Name, ...], msgspec.Meta(max_length=64)]
_Version = Annotated[int, msgspec.Meta(ge=1, le=0xFFFF)]


class Features(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one side is able to do. A feature that the reader does not know is passed over."""

    digests: _Names = ()
    """Digests of packets that it can make and check, best first."""
    member_sizes: _Names = ()
    """Sizes of QATzip's members that it can inflate, of ``vocabulary.MEMBER_SIZES``."""
    method_per_packet: bool = False
    """Whether the method may change from packet to packet of a channel."""
    answers: bool = False
    """Whether it keeps a migration's outcome for a peer whose connections broke."""
    streams: bool = False
    """Whether it takes a migration without multifd channels, or any stream, by a tunnel."""
    loads: bool = False
    """Of the side that connects: whether it wants to be told how busy the far end is; of the
    acceptor: whether it tells that."""
    order: bool = False
    """Of the side that connects: whether it wants to be told when a ``STREAM_SILENT`` is connected
    to the destination; of the acceptor: whether it tells that."""


class Hello(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first message of each side."""

    ramferry: _Name
    """Its version, for people."""
    protocol: tuple[_Version, _Version]
    """The oldest and the newest version of the protocol that it speaks."""
    features: Features = Features()
    inflates: Annotated[dict[_Name, _Name], msgspec.Meta(max_length=64)] = {}
    """The methods that it can inflate, each with ``"hardware"`` where a device may do it, else
    ``"software"``."""
    channels: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHANNELS)] = MAX_CHANNELS
    """Most multifd channels of a migration."""
    page_size: Annotated[int, msgspec.Meta(ge=512, le=1 << 20)] = PAGE_SIZE
    method: _Name = ""
    """Of the side that connects: the method that it is going to send."""
    refused: _Text = ""
    """Of the acceptor: why it does not take the migration; empty if it does."""
    stream: _Name = ""
    """Of the side that connects: ``STREAM_BYTES`` for a stream that is no migration,
    ``STREAM_SILENT`` for one of which nothing has come yet; empty for a migration."""
    migration: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{8})?$")] = ""
    """Of the side that connects: the migration's id in what people read, at both ends."""


class Failed(msgspec.Struct, frozen=True, tag_field="kind", tag="failed"):
    """The sender's part of the migration has failed, before its last round or for good."""

    error: _Text
    exit_code: Annotated[int, msgspec.Meta(ge=1, le=255)]


def failed(error: RamferryError) -> Failed:
    """The message that tells an error; a text that is too long for one is cut."""
    return Failed(str(error)[:MOST_TEXT], error.exit_code)


class Ask(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="ask"):
    """The source's side asks how the switchover has ended."""

    cut: bool = False
    """Whether it sends nothing more on main: what has come there is all."""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="outcome"):
    """The destination's side says how it has ended."""

    outcome: Literal["pending", "taken", "not taken", "unknown"]
    why: _Text = ""
    exit_code: Annotated[int, msgspec.Meta(ge=1, le=255)] = MigrationFailed.exit_code
    """That of the cause, of "not taken"."""


class Told(msgspec.Struct, frozen=True, tag_field="kind", tag="told"):
    """The source's side has told its source; the acceptor need not remember the outcome."""


class Connected(msgspec.Struct, frozen=True, tag_field="kind", tag="connected"):
    """The destination's side has connected a ``STREAM_SILENT`` to the destination: that meets the
    next one after it."""


_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class Load(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="load"):
    """The destination's side says how busy its host is."""

    cores: _Amount
    """Cores that other processes leave to it, those that it uses included."""
    used: _Amount = 0.0
    """Cores that it uses."""
    byte_cost: _Amount = 0.0
    """Its core seconds lately, besides decoders, for each byte of pages and each wire byte."""
    decode: _Amount = 0.0
    """Core seconds in decoders for each byte of pages that they made lately; 0: none did."""
    behind: _Amount = 0.0
    """Seconds of work that wait there."""
    host: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{16})?$")] = ""
    """Its host's mark for this migration: the same at both ends if they share a kernel."""


Message = Failed | Ask | Outcome | Told | Connected | Load
_to_json: Final = msgspec.json.Encoder().encode
_to_message: Final = decoder(Message).decode
_to_hello: Final = decoder(Hello).decode


def encode(message: Hello | Message) -> bytes:
    """A message as it is sent, with its head."""
    return headed(_to_json(message))


def headed(body: bytes) -> bytes:
    """A message's JSON behind its head."""
    return _HEAD.pack(len(body), xxhash.xxh3_64_intdigest(body)) + body


def body_size(head: Buffer) -> int:
    """The size of the JSON that follows a head.

    :raise RemoteProtocolError: none, or more than ``MOST``.
    """
    size, _ = _HEAD.unpack(head)
    if not 0 < size <= MOST:
        raise RemoteProtocolError(f"a message of 1 to {MOST} bytes", f"length {size}")
    return int(size)


def check_body(head: Buffer, body: Buffer) -> None:
    """Compare a message's JSON with the digest in its head.

    :raise RemoteProtocolError: it is not what was sent.
    """
    if xxhash.xxh3_64_intdigest(body) != _HEAD.unpack(head)[1]:
        raise RemoteProtocolError("a message as it was sent", f"another digest: {LINK}")


def parse_hello(body: Buffer) -> Hello:
    """Read a hello.

    :raise RemoteProtocolError: it is none.
    """
    hello = _decoded(_to_hello, body)
    least, most = hello.protocol
    if least > most:
        raise RemoteProtocolError("an oldest and a newest version", f"{least} to {most}")
    return hello


def parse_message(body: Buffer) -> Message:
    """Read a message that comes after the hello.

    :raise RemoteProtocolError: it is none that this version knows.
    """
    message: Message = _decoded(_to_message, body)
    return message


def _decoded(read: Callable[[Buffer], _T], body: Buffer) -> _T:
    try:
        return read(body)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("a message of the relay protocol", str(error)[:200]) from None
