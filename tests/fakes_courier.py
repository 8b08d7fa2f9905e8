"""A Ramferry that brings a scripted migration over sockets, and may do otherwise than it agreed."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator, Sequence

from fakes_source import SETTLE, dial
from fakes_wire import FLAGS, MAIN, NORMAL, SIZE, ZERO, Action, Do, Script, Step
from ramferry.codec import create_decoder, create_encoder
from ramferry.codec.base import Decoder, Encoder
from ramferry.errors import RamferryError
from ramferry.flows.peer.rounds import Rounds
from ramferry.transport.address import Address
from ramferry.vocabulary import METHOD_FLAGS
from ramferry.wire import relay_frames
from ramferry.wire.digests import NAME, Sealer
from ramferry.wire.packets import SYNC
from ramferry.wire.relay_frames import MARK, MOST, FrameKind, FrameWriter
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

FEATURES = Features((NAME,), ("64K", "packet"), method_per_packet=True, answers=False)
HELLO = Hello("9.8.7", (1, 1), FEATURES, dict.fromkeys(METHOD_FLAGS, "software"))
"""Of one that can do everything, and does not ask for the outcome."""
_MARKED = ("start", "zeros", "part", "end")
"""Steps on main that hold a mark each."""


def exactly(sock: socket.socket, size: int) -> bytes:
    """The next ``size`` bytes; fewer at the end."""
    sock.settimeout(SETTLE)
    raw = b""
    while len(raw) < size and (piece := sock.recv(size - len(raw))):
        raw += piece
    return raw


def hear(sock: socket.socket) -> bytes:
    """The JSON of the next message; empty at the end."""
    head = exactly(sock, HEAD_SIZE)
    return exactly(sock, body_size(head)) if len(head) == HEAD_SIZE else b""


class Courier:
    """Says hello to a relay, and runs a script against it, in the order of its steps."""

    def __init__(self, place: Address, hello: Hello = HELLO) -> None:
        self.place = place
        self._socks: list[socket.socket] = []
        self.control = self.open()
        self.control.sendall(Opening(Kind.CONTROL).encode() + encode(hello))
        self.opening = parse_opening(exactly(self.control, OPENING_SIZE))
        self.hello = parse_hello(hear(self.control))
        """The relay's."""
        self.token = self.opening.token
        self.digests = bool(hello.features.digests)
        self.skipped: set[int] = set()
        """Marks that are not announced."""
        self.wrong: set[int] = set()
        """Marks that are announced with another digest."""
        self.methods: Sequence[str] = ()
        """Of the packets with pages, in turn; empty: as the script has them."""
        self.channels: dict[int, socket.socket] = {}
        self.main: socket.socket
        self._rounds = Rounds(self.token, Sealer)
        self._frames = FrameWriter()
        self._sealers: dict[int, Sealer] = {}
        self._headers: dict[int, bytearray] = {}
        self._decoders: dict[int, Decoder] = {}
        self._encoders: dict[tuple[int, str], Encoder] = {}
        self._marks = 0
        self._packets = 0

    def open(self, begin: bytes = b"") -> socket.socket:
        """One more connection, which begins so."""
        sock = dial(self.place)
        self._socks.append(sock)
        sock.sendall(begin)
        return sock

    def heard(self) -> list[Message]:
        """All messages on control up to its end."""
        return [parse_message(body) for body in iter(lambda: hear(self.control), b"")]

    def frame(self, kind: FrameKind, data: bytes) -> bytes:
        """The next frame of main."""
        return self._frames.head(kind, data) + data

    def run(self, script: Script) -> None:
        """Send all of a script; what the relay ends early ends this."""
        with contextlib.suppress(OSError):
            for step in script.steps:
                self._take(script, step)

    def told(self) -> int | None:
        """Wait for the answer, and end all as a source does then; the error of its SHUT."""
        parser = ReturnPathParser()
        while len(head := exactly(self.main, relay_frames.HEAD_SIZE)) == relay_frames.HEAD_SIZE:
            body = exactly(self.main, int.from_bytes(head[:4], "big"))
            for event in parser.feed(body):
                if isinstance(event, Shut):
                    self.main.sendall(self.frame(FrameKind.END, b""))
                    for sock in (self.main, *self.channels.values()):
                        with contextlib.suppress(OSError):
                            sock.shutdown(socket.SHUT_RDWR)
                    return event.error
        return None

    def _take(self, script: Script, step: Action) -> None:
        if isinstance(step, Do):
            step.action()
        elif isinstance(step, Step) and step.where == MAIN:
            self._send_main(script, step)
        elif isinstance(step, Step):
            self._send_channel(script, step)

    def _send_main(self, script: Script, step: Step) -> None:
        if not hasattr(self, "main"):
            self.main = self.open(Opening(Kind.MAIN, self.token).encode())
        if step.what in _MARKED:
            self._announce(script)
        for at in range(0, len(step.data), MOST):
            self.main.sendall(self.frame(FrameKind.DATA, step.data[at : at + MOST]))

    def _announce(self, script: Script) -> None:
        index, self._marks = self._marks, self._marks + 1
        if self.digests and index not in self.skipped:
            digest = bytes(15) + b"\1" if index in self.wrong else self._rounds.digest(index)
            self.main.sendall(
                self.frame(FrameKind.MARK, MARK.pack(index, digest, script.guest.channels))
            )

    def _send_channel(self, script: Script, step: Step) -> None:
        where, raw = step.where, bytearray(step.data)
        if where not in self.channels:
            self.channels[where] = self.open(Opening(Kind.MULTIFD, self.token).encode())
            if self.digests:
                self._sealers[where] = self._rounds.channel(where)
                raw[:] = self._sealers[where].initial(bytes(raw))
            self.channels[where].sendall(raw)
            return
        if step.what == "packet" and struct.unpack_from(">I", raw, NORMAL)[0]:
            self._headers[where] = raw
            return
        header = self._headers.pop(where, None)
        if header is None:
            self._send_packet(where, raw, b"", b"")
            return
        method, payload, pages = self._coded(script, where, header, bytes(raw))
        self._send_packet(where, header, payload, pages, "" if method == "none" else method)

    def _coded(
        self, script: Script, where: int, header: bytearray, payload: bytes
    ) -> tuple[str, bytes, bytes]:
        """A packet's method, payload and pages; its header says so from now on."""
        guest = script.guest
        (normal,) = struct.unpack_from(">I", header, NORMAL)
        pages = memoryview(bytearray(normal * guest.page_size))
        # a channel's zlib is one stream
        decoder = self._decoders.setdefault(
            where, create_decoder(guest.method, page_size=guest.page_size)
        )
        decoder.decode(memoryview(payload), pages)
        method = guest.method
        if self.methods:
            method = self.methods[self._packets % len(self.methods)]
            self._packets += 1
            encoder = self._encoders.setdefault(
                (where, method), create_encoder(method, None, page_size=guest.page_size)
            )
            payload = b"".join(encoder.encode(pages))
            (flags,) = struct.unpack_from(">I", header, FLAGS)
            struct.pack_into(">I", header, FLAGS, (flags & SYNC) | METHOD_FLAGS[method])
            struct.pack_into(">I", header, SIZE, len(payload))
        return method, payload, bytes(pages)

    def _send_packet(
        self, where: int, header: bytearray, payload: bytes, pages: bytes, coded: str = ""
    ) -> None:
        if self.digests:
            normal, zero = (struct.unpack_from(">I", header, at)[0] for at in (NORMAL, ZERO))
            parts = [payload] if coded else []
            self._sealers[where].seal(memoryview(header), normal + zero, pages, parts)
        self.channels[where].sendall(bytes(header) + payload)

    def close(self) -> None:
        for sock in self._socks:
            sock.close()


@contextlib.contextmanager
def courier(place: Address, hello: Hello = HELLO) -> Iterator[Courier]:
    """One that has said hello."""
    with contextlib.closing(Courier(place, hello)) as ready:
        yield ready


class Acceptor:
    """Takes connections where a relay expects another one, and answers each of them the same."""

    def __init__(self, path: str, *says: bytes, closes: bool = True) -> None:
        """
        :param says: sent to whoever comes, the nth to the nth, the last one to all others.
        :param closes: whether it closes the connection then.
        """
        self._says, self._closes = says or (b"",), closes
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(16)
        self._socks: list[socket.socket] = []
        self.first: list[bytes] = []
        """What each began with."""
        self._thread = threading.Thread(target=self._accept, name="fake acceptor")
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._socks.append(sock)
            with contextlib.suppress(OSError, RamferryError):
                self.first.append(sock.recv(4096))
                sock.sendall(self._says[min(len(self._socks), len(self._says)) - 1])
            if self._closes:
                sock.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(SETTLE)
        assert not self._thread.is_alive()
        self._listener.close()
        for sock in self._socks:
            sock.close()
