"""A migration destination over real sockets, which behaves as QEMU's does.

It inflates what it reads, waits at each mark for one SYNC of every channel, answers SHUT at the
end, and notes what a real one would hang or die of.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from fakes_source import SETTLE
from fakes_wire import Guest
from ramferry.codec import create_decoder
from ramferry.codec.base import Decoder
from ramferry.errors import RamferryError
from ramferry.transport.address import Address, UnixAddress
from ramferry.wire.events import BlockList, EndOfStream, MainEvent, SyncMark
from ramferry.wire.main import MainParser
from ramferry.wire.multifd import DeviceState, MultifdParser, RamPacket
from ramferry.wire.packets import Initial
from ramferry.wire.return_path import pong, shut


def _nothing(*_: int) -> None: ...


@dataclass
class Habits:
    """What a destination does otherwise than it should."""

    shut: int | None = 0
    """The error of its SHUT; None: closes main without a word."""
    early: bytes = b""
    """Said on the return path at the second mark."""
    garbage: bytes = b""
    """Said instead of SHUT."""
    close_main_at_mark: int | None = None
    close_channel_after: tuple[int, int] | None = None
    """(channel, packets): closes it then."""
    stop_reading_after: tuple[int, int] | None = None
    """(channel, packets): reads no more of it."""
    stop_main_at_mark: int | None = None
    """Reads no more of main once it has this mark."""
    pause_main_at_mark: int | None = None
    """Reads no more of main once it has this mark, until it is released."""
    before_sync: Callable[[int, int], None] = field(default=_nothing)
    """Called before a channel's SYNC header is read, with channel and index of the SYNC."""
    before_answer: Callable[[], None] = field(default=_nothing)
    """Called when the whole stream was read, before SHUT."""
    keep_open: bool = False
    """Does not close main after SHUT until told."""


class FakeDestination:
    """Takes one migration in, as QEMU's destination would."""

    def __init__(
        self, address: Address, guest: Guest, method: str, habits: Habits | None = None
    ) -> None:
        self.guest = guest
        self.method = method
        self.habits = habits or Habits()
        self.memory: dict[str, bytearray] = {}
        self.marks: list[int] = []
        self.syncs: dict[int, int] = dict.fromkeys(range(guest.channels), 0)
        self.packets = 0
        self.zero_pages = 0
        self.methods: set[str] = set()
        self.device_states: dict[int, bytes] = {}
        self.device_names: dict[int, str] = {}
        self.main_stream = bytearray()
        self.payloads: list[bytes] = []
        self.uuids: set[bytes] = set()
        self.faults: list[str] = []
        """What a real destination would have hung or died of."""
        self.complete = False
        """The whole stream was read: the guest runs."""
        self.connections = 0
        self.main_ended = threading.Event()
        self.released = threading.Event()
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._taking = threading.Lock()
        """Held while a connection is taken from the backlog, so that none is between two places."""
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        if isinstance(address, UnixAddress):
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(address.path)
        else:
            self.listener = socket.create_server((address.host, address.port), reuse_port=True)
        self.listener.listen(64)
        self._accepting = threading.Thread(target=self._accept, name="fake accept")
        self._accepting.start()

    def _accept(self) -> None:
        while select.select([self.listener], [], []):
            with self._taking:
                try:
                    sock, _ = self.listener.accept()
                except OSError:
                    return
                self._socks.append(sock)
                run = self._main if self.connections == 0 else self._channel
                self.connections += 1
                thread = threading.Thread(target=self._guard, args=(run, sock), name="fake dest")
                self._threads.append(thread)
                thread.start()

    def _guard(self, run: Callable[[socket.socket], None], sock: socket.socket) -> None:
        try:
            run(sock)
        except RamferryError as error:
            self.faults.append(str(error))
            self._end()
        except OSError:
            if run == self._main:
                self._end()
        except _Given:
            with self._changed:
                self._over.set()
                self._changed.notify_all()

    # --- main

    def _main(self, sock: socket.socket) -> None:
        parser = MainParser(page_size=self.guest.page_size)
        try:
            while data := sock.recv(65536):
                self.main_stream += data
                for event in parser.feed(data):
                    self._on_event(event, sock)
                if self.complete:
                    return
            self._end()
        finally:
            self.main_ended.set()

    def _on_event(self, event: MainEvent, sock: socket.socket) -> None:
        match event:
            case BlockList():
                with self._changed:
                    for block in event.blocks:
                        self.memory[block.name] = bytearray(block.used_length)
                    self._changed.notify_all()
            case SyncMark():
                self._meet(event.index, sock)
            case EndOfStream():
                self._take_over(sock)

    def _meet(self, index: int, sock: socket.socket) -> None:
        habits = self.habits
        if habits.close_main_at_mark == index:
            sock.shutdown(socket.SHUT_RDWR)
            raise _Given
        if index == 1 and habits.early:
            sock.sendall(habits.early)
        with self._changed:
            # a real one waits for ever, with its monitor blocked
            if not self._changed.wait_for(
                lambda: all(count > index for count in self.syncs.values()), SETTLE
            ):
                late = [id for id, count in self.syncs.items() if count <= index]
                self.faults.append(f"hangs at mark {index} without the SYNC of {late}")
            self.marks.append(index)
            self._changed.notify_all()
        if habits.stop_main_at_mark == index:
            self.released.wait(SETTLE)
            raise _Given
        if habits.pause_main_at_mark == index:
            self.released.wait(SETTLE)
        sock.sendall(pong(index))

    def _take_over(self, sock: socket.socket) -> None:
        with self._changed:
            # a device whose state never comes holds a real one up for ever
            wanted = self.guest.channels if self.guest.device_state else 0
            self._changed.wait_for(
                lambda: len(self.device_states) == wanted or self._over.is_set(), SETTLE
            )
            if len(self.device_states) < wanted:
                return
        self.habits.before_answer()
        if self.habits.garbage:
            sock.sendall(self.habits.garbage)
            self._end()
            return
        self.complete = self.habits.shut == 0
        for other in self._socks:
            if other is not sock:
                with contextlib.suppress(OSError):
                    other.shutdown(socket.SHUT_RDWR)
        if self.habits.shut is not None:
            sock.sendall(shut(self.habits.shut))
        if self.habits.keep_open:
            self.released.wait(SETTLE)
        self._end()

    # --- multifd

    def _channel(self, sock: socket.socket) -> None:
        parser = MultifdParser(page_size=self.guest.page_size)
        if not self._fill(sock, parser.want()):
            return
        initial = parser.filled()
        assert isinstance(initial, Initial)
        self.uuids.add(initial.uuid)
        channel = initial.channel_id
        self.syncs.setdefault(channel, 0)
        parser.channel = f"destination's multifd {channel}"
        parser.blocks = _Lengths(self.memory)
        decoder = create_decoder(self.method, page_size=self.guest.page_size)
        while True:
            if not self._before(channel, parser, sock):
                return
            packet = self._header(sock, parser)
            if packet is None:
                return
            if isinstance(packet, DeviceState):
                self._take_device(sock, channel, packet)
                parser.payload_done()
                continue
            self._take_pages(sock, parser, packet, decoder)
            if packet.sync:
                self._synced(channel)

    def _before(self, channel: int, parser: MultifdParser, sock: socket.socket) -> bool:
        self.habits.before_sync(channel, self.syncs[channel])
        if self.habits.close_channel_after == (channel, parser.packets):
            sock.shutdown(socket.SHUT_RDWR)
            return False
        if self.habits.stop_reading_after == (channel, parser.packets):
            self.released.wait(SETTLE)
            return False
        return True

    def _header(self, sock: socket.socket, parser: MultifdParser) -> RamPacket | DeviceState | None:
        while True:
            piece = parser.want()
            got = self._fill(sock, piece)
            if not got:
                return None
            packet = parser.filled()
            if isinstance(packet, RamPacket | DeviceState):
                self.packets += 1
                return packet

    def _take_device(self, sock: socket.socket, channel: int, packet: DeviceState) -> None:
        content = b""
        while len(content) < packet.payload_size:  # as much as comes, whatever was promised
            piece = memoryview(bytearray(min(packet.payload_size - len(content), 65536)))
            if not self._fill(sock, piece):
                self._end()
                return
            content += piece
        with self._changed:
            self.device_names[channel] = packet.idstr
            self.device_states[channel] = content
            self._changed.notify_all()

    def _take_pages(
        self, sock: socket.socket, parser: MultifdParser, packet: RamPacket, decoder: Decoder
    ) -> None:
        if not packet.normal and not packet.zero:
            return
        self.methods.add(packet.method)
        if packet.method != self.method:
            self.faults.append(f"method {packet.method} where {self.method} was set")
        size = self.guest.page_size
        offsets = struct.unpack_from(f">{packet.normal + packet.zero}Q", packet.header, 320)
        memory = self.memory[packet.block]
        if packet.normal:
            payload = memoryview(bytearray(packet.payload_size))
            if not self._fill(sock, payload):
                return
            self.payloads.append(bytes(payload))
            parser.payload_done()
            pages = memoryview(bytearray(packet.normal * size))
            decoder.decode(payload, pages)
            for index, at in enumerate(offsets[: packet.normal]):
                memory[at : at + size] = pages[index * size : (index + 1) * size]
        for at in offsets[packet.normal :]:
            memory[at : at + size] = bytes(size)
        self.zero_pages += packet.zero

    def _synced(self, channel: int) -> None:
        with self._changed:
            self.syncs[channel] += 1
            count = self.syncs[channel]
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self.marks) >= count or self._over.is_set(), SETTLE)

    def _fill(self, sock: socket.socket, view: memoryview) -> bool:
        filled = 0
        while filled < len(view):
            count = sock.recv_into(view[filled:])
            if not count:
                if filled:
                    self.faults.append(f"a channel was cut after {filled} of {len(view)} bytes")
                return False
            filled += count
        return True

    # --- the end

    def _end(self) -> None:
        with self._changed:
            self._over.set()
            self._changed.notify_all()
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def all_ended(self) -> bool:
        """True where every connection has ended, those that wait to be accepted included.

        A TCP peer may come, send all it has and go before this process takes it in.
        """
        with self._taking:
            waits, _, _ = select.select([self.listener], [], [], 0)
            return not waits and all(not thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        self.released.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(SETTLE)
        self.listener.close()
        self._end()
        for thread in self._threads:
            thread.join(SETTLE)
            assert not thread.is_alive(), "the destination hangs"
        for sock in self._socks:
            sock.close()


class _Given(Exception):
    """The destination does something it should not, and is done with it."""


class _Lengths(dict[str, int]):
    """Used lengths of the blocks that are known when asked."""

    def __init__(self, memory: dict[str, bytearray]) -> None:
        super().__init__()
        self._memory = memory

    def get(self, key: str, default: int | None = None) -> int | None:  # type: ignore[override]
        return len(self._memory[key]) if key in self._memory else default
