"""What two Ramferrys speak: openings, control messages, frames of main, digests of channels."""

from __future__ import annotations

import random
import threading
from functools import cache
from typing import Any, Final

import msgspec

from fakes_wire import Guest, Script
from fuzz.target import Target, chance_of
from fuzz.targets.jsons import change_json
from fuzz.targets.relay_changes import change_message
from ramferry.codec import create_decoder
from ramferry.errors import RamferryError, RemoteProtocolError, of_exit_code
from ramferry.flows.peer.agreement import agree
from ramferry.flows.peer.control import Control
from ramferry.flows.peer.framed import Framed
from ramferry.flows.peer.reception import Reception
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import RelayAddress, TcpAddress, UnixAddress
from ramferry.wire.digests import (
    TRAILER_SIZE,
    Sealer,
    SealReader,
    check_pages,
    check_payload,
)
from ramferry.wire.multifd import DeviceState, MultifdParser, RamPacket, parse_initial
from ramferry.wire.packets import INITIAL_SIZE, MAGIC
from ramferry.wire.relay_frames import MARK, FrameKind, FrameWriter
from ramferry.wire.relay_messages import (
    HEAD_SIZE,
    Ask,
    Failed,
    Features,
    Hello,
    Message,
    Outcome,
    Told,
    encode,
    headed,
    parse_hello,
    parse_message,
)
from ramferry.wire.relay_opening import OPENING_SIZE, Kind, Opening, parse_opening

TOKEN: Final = bytes(range(1, 17))
_CONTROL, _RECEPTION = change_message(OPENING_SIZE), change_message(0)


class _Given:
    """The near end of a connection whose far end sends an input, in pieces of any size."""

    windowed = False

    def __init__(self, data: bytes) -> None:
        self._data, self._chance = memoryview(data), chance_of(data)

    def receive_some(self, view: memoryview, *, whole: bool = False) -> int:
        most = len(view) if whole else self._chance.randint(1, max(1, len(view)))
        piece = self._data[: min(most, len(view))]
        view[: len(piece)] = piece
        self._data = self._data[len(piece) :]
        return len(piece)

    def receive(self, view: memoryview, least: int | None = None, *, idle: bool = False) -> int:
        del least, idle
        return self.receive_some(view, whole=True)

    def settle(self, stall_timeout: float) -> None: ...

    def send(self, parts: list[Any]) -> int:
        return sum(map(len, parts))

    def cut(self) -> None: ...

    def close(self) -> None: ...


# --- openings and control


def check_opening(data: bytes) -> bool:
    """The first 24 bytes of any connection."""
    try:
        opening = parse_opening(data[:24].ljust(24, b"\0"))
    except RemoteProtocolError:
        return False
    assert parse_opening(opening.encode()) == opening
    return True


def opening_samples() -> list[bytes]:
    """One of each kind."""
    return [Opening(kind, TOKEN).encode() for kind in Kind]


HELLO: Final = Hello(
    ramferry="0.1.0",
    protocol=(1, 1),
    features=Features(("xxh3-128",), ("64K", "packet"), True, True),
    inflates={"none": "software", "qatzip": "hardware"},
    channels=8,
    method="none",
)


def control_samples() -> list[bytes]:
    """All that an acceptor may say, and refusals."""
    opening = Opening(Kind.CONTROL, TOKEN).encode()
    failed = Failed("multifd 3 packet 7: expected the header as sent", 7)
    messages: list[Message] = [Ask(), Outcome("taken"), Outcome("not taken", "it ended"), Told()]
    refusal = Hello(ramferry="0.2.0", protocol=(2, 3), refused="another migration is under way")
    return [
        opening + encode(HELLO) + b"".join(map(encode, [*messages, failed])),
        opening + encode(refusal) + encode(failed),
    ]


def check_control(data: bytes) -> bool:
    """A hello that is agreed on or refused in a sentence, and messages that are read back."""
    control = Control(_Given(data))  # type: ignore[arg-type]
    try:
        control.hear_opening()
        hello = control.hear_hello()
        assert parse_hello(encode(hello)[HEAD_SIZE:]) == hello
        agree(HELLO, hello, receives=hello)
        while (message := control.hear()) is not None:
            assert parse_message(encode(message)[HEAD_SIZE:]) == message
            if isinstance(message, Failed):
                assert message.error in str(of_exit_code(message.exit_code, message.error))
    except RamferryError:
        return False
    return True


def check_hello(data: bytes) -> bool:
    """The JSON of a hello by itself, so that changes inside keep its length right."""
    return check_control(Opening(Kind.CONTROL, TOKEN).encode() + headed(data))


SETTINGS: Final = RelaySettings(
    RelayAddress(TcpAddress("127.0.0.1", 1)), UnixAddress("/nowhere"), "none"
)


def check_reception(data: bytes) -> bool:
    """What is said to a Ramferry that takes migrations: no thread ends in an error."""
    notes: list[str] = []
    errors: list[BaseException | None] = []
    before, threading.excepthook = threading.excepthook, lambda told: errors.append(told.exc_value)
    reception = Reception(SETTINGS, notes.append, lambda: "")
    try:
        reception._greet(_Given(data), "a peer")  # type: ignore[arg-type]
        taken = len(reception._visits)
        reception.close()
    finally:
        threading.excepthook = before
    assert not errors, f"a thread ended in {errors[0]!r}"
    assert taken + len(notes) == 1, "neither taken nor refused"
    return bool(taken)


def reception_samples() -> list[bytes]:
    """Hellos, with messages behind them."""
    messages = b"".join(map(encode, [Ask(), Told(), Failed("it failed", 5)]))
    newer = Hello(ramferry="9.0.0", protocol=(7, 9), method="lz4")
    return [encode(HELLO) + messages, encode(newer)]


# --- frames of main


@cache
def _frames() -> tuple[bytes, bytes, frozenset[tuple[int, bytes]]]:
    """A framed stream, what is in it, and its marks."""
    writer, chance = FrameWriter(), random.Random(5)
    raw, content, marks = b"", b"", []
    for index in range(12):
        data = chance.randbytes(chance.choice((1, 7, 64, 300)))
        if index % 4 == 1:
            mark = MARK.pack(index, chance.randbytes(16), 2)
            marks.append((index, mark[8:24]))
            raw += writer.head(FrameKind.MARK, mark) + mark
        raw += writer.head(FrameKind.DATA, data) + data
        content += data
    return raw + writer.head(FrameKind.END, b""), content, frozenset(marks)


def check_frames(data: bytes) -> bool:
    """Nothing comes out but what was sent at that place."""
    framed, view = Framed(_Given(data)), memoryview(bytearray(4096))  # type: ignore[arg-type]
    _, content, marks = _frames()
    came, whole = b"", True
    try:
        while count := framed.receive_some(view):
            came += view[:count]
    except (RemoteProtocolError, ConnectionResetError):
        whole = False
    assert content.startswith(came), "bytes that were not sent"
    assert whole <= (came == content), "an end in the middle that was taken for the stream's"
    for index in range(16):
        digest = framed.mark(index)
        assert digest is None or (index, digest) in marks
    return whole


# --- channels with digests

_BLOCKS: Final = {"pc.ram": 256 * 4096, "/rom@etc/acpi/tables": 8 * 4096}


def _sealed(guest: Guest) -> bytes:
    """A channel's stream with digests, as a relay sends it."""
    data, sealer = Script(guest).stream(0), Sealer(TOKEN)
    parser, out, at = _parser(guest.page_size), sealer.initial(data[:INITIAL_SIZE]), INITIAL_SIZE
    decoder = create_decoder(guest.method, page_size=guest.page_size)
    while at < len(data):
        parser.space[: parser.least] = data[at : at + parser.least]
        at += parser.least
        packet = parser.filled()
        if packet is None:
            continue
        assert isinstance(packet, RamPacket | DeviceState)
        payload = data[at : at + packet.payload_size]
        at += packet.payload_size
        if isinstance(packet, DeviceState):
            sealer.device(packet.header)
            sealer.device(payload)
            out += bytes(packet.header) + payload + sealer.trailer()
            parser.payload_done()
            continue
        pages = memoryview(bytearray(packet.normal * guest.page_size))
        if payload:
            decoder.decode(memoryview(payload), pages)
        parts = [payload] if payload and guest.method != "none" else []
        sealer.seal(packet.header, packet.normal + packet.zero, pages, parts)
        out += bytes(packet.header) + payload
    return out


def _parser(page_size: int) -> MultifdParser:
    parser = MultifdParser(page_size=page_size, initial=False)
    parser.blocks, parser.mixed = _BLOCKS, True
    return parser


@cache
def sealed_samples() -> list[bytes]:
    """Channels of three methods."""
    return [
        _sealed(Guest("none", rounds=1, packets=1, pages=2, channels=1)),
        _sealed(Guest("zstd", rounds=2, pages=3, zeros=2, channels=1, device_state=90)),
        _sealed(Guest("qatzip", rounds=1, pages=2, channels=1)),
    ]


def check_sealed(data: bytes) -> bool:
    """Whatever is changed is refused: only beginnings of what was sent are taken."""
    try:
        _read_sealed(data)
    except RemoteProtocolError:
        return False
    assert any(one.startswith(data) for one in sealed_samples()), "a change that was not seen"
    return True


def _read_sealed(data: bytes) -> None:
    seal, parser, at = SealReader(TOKEN), _parser(4096), INITIAL_SIZE
    if len(data) < INITIAL_SIZE:
        raise RemoteProtocolError("an initial packet", "less")
    parse_initial(seal.initial(data[:INITIAL_SIZE]))
    told: list[tuple[bytes, int]] = []
    parser.check_header, parser.trailer = (
        lambda header: told.append(seal.header(header)),
        TRAILER_SIZE,
    )
    decoders: dict[str, Any] = {}
    while True:
        least, space = parser.least, parser.space
        piece = data[at : at + least]
        space[: len(piece)] = piece
        if len(piece) < least:
            return parser.ended(len(piece))
        at += least
        packet = parser.filled()
        if isinstance(packet, DeviceState):
            at = _device(seal, parser, packet, data, at)
        elif isinstance(packet, RamPacket):
            at = _ram(packet, told[-1], decoders, data, at)


def _device(
    seal: SealReader, parser: MultifdParser, packet: DeviceState, data: bytes, at: int
) -> int:
    end = at + packet.payload_size
    if end + TRAILER_SIZE > len(data):
        parser.ended(len(data) - at)
    pieces = [memoryview(data[at : end + TRAILER_SIZE])]
    assert b"".join(seal.state(packet.header, packet.payload_size, pieces)) == data[at:end]
    parser.payload_done()
    return end + TRAILER_SIZE


def _ram(
    packet: RamPacket, told: tuple[bytes, int], decoders: dict[str, Any], data: bytes, at: int
) -> int:
    count, payload = packet.normal + packet.zero, data[at : at + packet.payload_size]
    if len(payload) < packet.payload_size:
        raise RemoteProtocolError("a payload", "less")
    if not count:
        return at
    coded = bool(payload) and packet.method != "none"
    if coded:
        check_payload(told[1], packet.block, payload)
    pages = memoryview(bytearray(packet.normal * 4096))
    if payload:
        decoder = decoders.setdefault(packet.method, None) or create_decoder(packet.method)
        decoders[packet.method] = decoder
        if len(payload) > decoder.max_payload(packet.normal):
            raise RemoteProtocolError("a payload", "more")
        decoder.decode(memoryview(payload), pages)
    check_pages(told[0], packet.block, packet.header, count, pages, coded=coded)
    return at + len(payload)


@cache
def targets() -> list[Target]:
    """All of them."""
    words = (b"RFRY", MAGIC.to_bytes(4, "big"), b"QEVM", b"\x16\x03", b'{"kind":"ask"}')
    return [
        Target("relay-opening", check_opening, opening_samples, words),
        Target("relay-control", check_control, control_samples, words, _CONTROL),
        Target("relay-hello", check_hello, lambda: [msgspec.json.encode(HELLO)], (), change_json),
        Target("relay-reception", check_reception, reception_samples, words, _RECEPTION, trials=60),
        Target("relay-frames", check_frames, lambda: [_frames()[0]]),
        Target("relay-sealed", check_sealed, sealed_samples, trials=100),
    ]
