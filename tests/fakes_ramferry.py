"""A source's Ramferry that runs a script against a relay: address, as far as it keeps its word."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from fakes_source import SETTLE, FakeSource, dial
from fakes_wire import FLAGS, MAIN, SIZE, Action, Script, Step
from ramferry.codec import create_decoder, create_encoder
from ramferry.codec.base import Decoder, Encoder
from ramferry.errors import RamferryError
from ramferry.flows.peer.framed import Framed
from ramferry.flows.peer.rounds import Rounds
from ramferry.transport.address import Address, RelayAddress
from ramferry.transport.plain import Plain
from ramferry.vocabulary import METHOD_FLAGS
from ramferry.wire.digests import NAME, Sealer
from ramferry.wire.packets import METHOD_MASK
from ramferry.wire.relay_messages import (
    HEAD_SIZE,
    Features,
    Hello,
    Message,
    body_size,
    encode,
    parse_hello,
    parse_message,
)
from ramferry.wire.relay_opening import OPENING_SIZE, Kind, Opening, parse_opening
from ramferry.wire.return_path import ReturnPathParser, Shut

WITH_MARK = ("start", "part", "zeros", "end")
"""Main's steps that hold a mark."""
HELLO = Hello(
    ramferry="9.9",
    protocol=(1, 1),
    features=Features(digests=(NAME,), method_per_packet=True),
    method="none",
)


@dataclass
class Manners:
    """What it does, and what it does otherwise than it agreed."""

    hello: Hello = HELLO
    marks: Callable[[int, bytes], tuple[int, bytes] | None] = lambda index, digest: (index, digest)
    """What it announces before a mark; None: nothing."""
    channels: int = 0
    """How many there are, as its marks tell; 0: it does not know."""
    seals: bool = True
    """Whether its packets have digests; without, none are made."""
    token: Callable[[Kind, bytes], bytes] = lambda _, token: token
    """The token with which it opens a connection."""
    methods: tuple[str, ...] = ()
    """In turn, those in which a channel's packets go out, in place of the script's."""
    before: Callable[[FakeRamferry, Step], object] = field(default=lambda *_: None)
    """Called before each step."""


class FakeRamferry(FakeSource):
    """A source that first says hello, and frames and seals what it sends."""

    def __init__(self, address: Address, script: Script, manners: Manners | None = None) -> None:
        assert isinstance(address, RelayAddress)
        self.manners = manners or Manners()
        self.control = dial(address.place)
        self.control.settimeout(SETTLE)
        try:
            self.far, self.token = self._greet()
        except OSError:
            self.control.close()
            raise
        self.heard: list[Message] = []
        self.rounds: Rounds[Sealer] = Rounds(self.token, Sealer)
        self._sealers: dict[int, Sealer] = {}
        self._framed: Framed
        self._marks = 0
        self._waiting: dict[int, Step] = {}
        """A channel's header whose payload comes next."""
        self._codings: dict[int, _Coding] = {}
        self._listener = threading.Thread(target=self._listen, name="fake control")
        self._listener.start()
        super().__init__(address.place, script)

    def _greet(self) -> tuple[Hello, bytes]:
        self.control.sendall(Opening(Kind.CONTROL).encode() + encode(self.manners.hello))
        token = parse_opening(self._received(OPENING_SIZE)).token
        return parse_hello(self._body()), token

    def _received(self, count: int) -> bytes:
        raw = self.control.recv(count, socket.MSG_WAITALL)
        if len(raw) < count:
            raise ConnectionResetError
        return raw

    def _body(self) -> bytes:
        return self._received(body_size(self._received(HEAD_SIZE)))

    def _listen(self) -> None:
        with contextlib.suppress(OSError, RamferryError):
            while True:
                self.heard.append(parse_message(self._body()))

    def says(self, message: Message) -> None:
        """Say something on control."""
        self.control.sendall(encode(message))

    # --- its steps

    def _take(self, step: Action) -> None:
        if not isinstance(step, Step):
            super()._take(step)
            return
        self.manners.before(self, step)
        if step.where == MAIN:
            self._main(step)
        else:
            self._channel(step)

    def opened(self, kind: Kind) -> socket.socket:
        """One more connection, opened."""
        sock = dial(self.address)
        sock.sendall(Opening(kind, self.manners.token(kind, self.token)).encode())
        return sock

    def _main(self, step: Step) -> None:
        if MAIN not in self.socks:
            sock = self.socks[MAIN] = self.opened(Kind.MAIN)
            # a duplicate, because whoever runs the steps closes that of its own
            self._framed = Framed(Plain(sock.dup()))
            self._framed.settle(SETTLE)
            self._reader = threading.Thread(target=self._read_frames, name="fake rp")
            self._reader.start()
        if step.what in WITH_MARK:
            self._announce()
        self._framed.send([step.data])

    def _announce(self) -> None:
        index, self._marks = self._marks, self._marks + 1
        digest = self.rounds.digest(index) if self.manners.seals else bytes(16)
        if (mark := self.manners.marks(index, digest)) is not None:
            self._framed.send_mark(*mark, self.manners.channels)

    def _channel(self, step: Step) -> None:
        where = step.where
        if where not in self.socks:
            self.socks[where] = self.opened(Kind.MULTIFD)
            self._codings[where] = _Coding(self.script.guest.method, self.manners.methods)
        raw = [bytes(step.data)]
        if step.what == "packet" and self.script.guest.pages:
            self._waiting[where] = step
            return
        if step.what == "payload":
            raw = self._packet(where, self._waiting.pop(where).data, step.data)
        elif self.manners.seals:
            raw = self._sealed(step)
        for part in raw:
            self.socks[where].sendall(part)

    def _packet(self, where: int, raw: bytes, payload: bytes) -> list[bytes]:
        header = memoryview(bytearray(raw))
        normal = int.from_bytes(header[16:20], "big")
        zero = int.from_bytes(header[32:36], "big")
        method, pages, payload = self._codings[where].again(
            payload, normal * self.script.guest.page_size
        )
        flags = int.from_bytes(header[FLAGS : FLAGS + 4], "big") & ~METHOD_MASK
        header[FLAGS : FLAGS + 4] = (flags | METHOD_FLAGS[method]).to_bytes(4, "big")
        header[SIZE : SIZE + 4] = len(payload).to_bytes(4, "big")
        if self.manners.seals:
            coded = () if method == "none" else (payload,)
            self._sealers[where].seal(header, normal + zero, pages, coded)
        return [bytes(header), payload]

    def _sealed(self, step: Step) -> list[bytes]:
        if step.what == "initial":
            sealer = self._sealers[step.where] = self.rounds.channel(step.where)
            return [sealer.initial(step.data)]
        sealer = self._sealers[step.where]
        if step.what.startswith("device"):
            sealer.device(step.data)
            return [step.data, *([sealer.trailer()] if step.what == "device payload" else [])]
        header = memoryview(bytearray(step.data))
        sealer.seal(header, int.from_bytes(header[32:36], "big"), b"", ())
        return [bytes(header)]

    # --- its return path, and its end

    def _read_frames(self) -> None:
        parser, view = ReturnPathParser(), memoryview(bytearray(4096))
        try:
            while count := self._framed.receive_some(view):
                self.answer += view[:count]
                for event in parser.feed(view[:count]):
                    if isinstance(event, Shut):
                        self.shut = event.error
                        if not event.error:
                            self._release()
        except (OSError, RamferryError):
            pass
        finally:
            self.ended.set()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)
        if MAIN in self.socks:
            self._framed.cut()
        super().close()
        self._listener.join(SETTLE)
        assert not self._listener.is_alive()
        self.control.close()
        if MAIN in self.socks:
            self._framed.close()


class _Coding:
    """A channel's payloads in other methods, in turn."""

    def __init__(self, method: str, methods: tuple[str, ...]) -> None:
        self._decoder: Decoder = create_decoder(method)
        self._method = method
        self._turn = itertools.cycle(methods) if methods else None
        self._encoders: dict[str, Encoder] = {}

    def again(self, payload: bytes, size: int) -> tuple[str, bytes, bytes]:
        """The method of this packet, its pages, and its payload."""
        pages = memoryview(bytearray(size))
        self._decoder.decode(memoryview(payload), pages)
        if self._turn is None:
            return self._method, bytes(pages), payload
        method = next(self._turn)
        if method not in self._encoders:
            self._encoders[method] = create_encoder(method, None)
        return method, bytes(pages), b"".join(self._encoders[method].encode(pages))


def without(hello: Hello, **features: object) -> Hello:
    """A hello with other features."""
    return msgspec.structs.replace(
        hello, features=msgspec.structs.replace(hello.features, **features)
    )
