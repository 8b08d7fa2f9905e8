"""Live migrations of real QEMUs, recorded on their way: the parsers understand every byte."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from migrating import MIB, PAGE, Pair, listen, migrate, two_qemus, wait_arrived

from ramferry.wire import grammar
from ramferry.wire.channel_states import ChannelState
from ramferry.wire.events import MainEvent, NotParsed, SyncMark
from ramferry.wire.main import MainParser
from ramferry.wire.multifd import MultifdParser, RamPacket
from ramferry.wire.return_path import ReturnPathParser, RpEvent, Shut

pytestmark = pytest.mark.interop

MEMORY = 16 * MIB
JOIN_SECONDS = 20


class Recorder:
    """Copies each connection to a QEMU's socket, both ways, and keeps the bytes."""

    def __init__(self, listen_at: Path, connect_to: str) -> None:
        self.streams: list[tuple[bytearray, bytearray]] = []
        """Of each connection: what the source sent, and what came back."""
        self._connect_to = connect_to
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(listen_at))
        self._listener.listen(32)
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is shut down
            while True:
                source, _ = self._listener.accept()
                destination = socket.socket(socket.AF_UNIX)
                self._sockets += [source, destination]
                destination.connect(self._connect_to)
                self.streams.append((bytearray(), bytearray()))
                forth, back = self.streams[-1]
                self._start(source, destination, forth)
                self._start(destination, source, back)

    def _start(self, *ends_and_bytes: object) -> None:
        self._threads.append(threading.Thread(target=self._pump, args=ends_and_bytes))
        self._threads[-1].start()

    @staticmethod
    def _pump(receive: socket.socket, send: socket.socket, kept: bytearray) -> None:
        with suppress(OSError):  # either end may go first
            while data := receive.recv(65536):
                kept += data
                send.sendall(data)
        with suppress(OSError):
            send.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        """Wait until both ends of every connection have closed; end them after a failure."""
        for one in self._sockets if failure else (self._listener,):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
            assert not thread.is_alive()
        for one in self._sockets:
            one.close()


def recorded(pair: Pair, method: str, channels: int) -> list[tuple[bytearray, bytearray]]:
    """The connections of a completed migration of some data and many zero pages."""
    with two_qemus(pair, MEMORY) as (source, destination):
        random = np.random.default_rng(1)
        source.ram[8 * MIB : 9 * MIB] = random.integers(0, 8, MIB, dtype=np.uint8)
        incoming = listen(destination, method, channels).removeprefix("unix:")
        with Recorder(Path(source.folder) / "recorder", incoming) as recorder:
            migrate(source, f"unix:{source.folder}/recorder", method, channels)
            wait_arrived(destination)
        return recorder.streams


def syncs(stream: bytearray, blocks: dict[str, int]) -> int:
    """How many SYNC packets a channel carried."""
    parser, view, count = MultifdParser(page_size=PAGE), memoryview(stream), 0
    parser.blocks = blocks
    while view:
        piece = parser.want()
        piece[:], view = view[: len(piece)], view[len(piece) :]
        packet = parser.filled()
        if isinstance(packet, RamPacket):
            count += packet.sync
            view = view[packet.payload_size :]
        if parser.state is ChannelState.PAYLOAD:
            parser.payload_done()
    parser.ended(0)
    return count


def main_events(stream: bytearray) -> tuple[MainParser, list[MainEvent]]:
    parser = MainParser()
    events: list[MainEvent] = []
    for at in range(0, len(stream), 4096):
        events += parser.feed(stream[at : at + 4096])
    return parser, events


@pytest.mark.parametrize(
    ("method", "channels"), [("none", 1), ("zlib", 2), ("zstd", 8)], ids=["none", "zlib", "zstd"]
)
def test_every_mark_has_its_sync_on_every_channel(pair: Pair, method: str, channels: int) -> None:
    streams = recorded(pair, method, channels)
    mains = [one for one in streams if one[0].startswith(grammar.MAGIC)]
    others = [one for one in streams if not one[0].startswith(grammar.MAGIC)]
    assert (len(mains), len(others)) == (1, channels)
    ((forth, back),) = mains
    parser, events = main_events(forth)
    marks = [event for event in events if isinstance(event, SyncMark)]
    blocks = {block.name: block.used_length for block in parser.blocks.values()}
    assert [syncs(stream, blocks) for stream, _ in others] == [len(marks)] * channels
    # of the setup, of each whole round, and of the end, which may come in the midst of the first
    assert len(marks) >= 2
    assert parser.mode == ("section" if pair.source.version < (8, 1) else "round")
    assert not [event for event in events if isinstance(event, NotParsed)]
    assert parser.eof().certain
    answers: list[RpEvent] = ReturnPathParser().feed(back)
    assert isinstance(answers[-1], Shut)
    assert answers[-1].error == 0
