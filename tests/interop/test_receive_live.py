"""Live migrations from real QEMUs that end in a receiver of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from migrating import (
    CANCELLED,
    MIB,
    Pair,
    prepare,
    run_state,
    start_guest,
    status,
    until,
    wait_ended,
)
from qemu_faults import may_hang, once_more_if_qemu_fails

from ramferry.bench import boot_sector
from ramferry.bench.fill import LOW_MEMORY, fill
from ramferry.bench.qemu import RAM_ID, Qemu
from ramferry.errors import HostError, RamferryError
from ramferry.flows.contracts import ChannelSink, MainStream, Pages, StreamHead
from ramferry.flows.ends.memory_sink import MemorySink
from ramferry.flows.receiver import Receiver
from ramferry.flows.settings import ReceiveSettings
from ramferry.metrics import ReceiveResult, RelayCounters
from ramferry.ram.blocks import Ram
from ramferry.transport.address import Address, UnixAddress

pytestmark = pytest.mark.interop

MEMORY = 64 * MIB
BOTH = pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)


class Quiet:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def listening(self, address: Address) -> None:
        """Nothing waits for it: the receiver listens when it was made."""

    def progress(self, counters: RelayCounters) -> None:
        """Of no interest here."""

    def note(self, text: str) -> None:
        self.notes.append(text)


class Breaking:
    """A channel that breaks where its guest wants it to."""

    def __init__(self, sink: ChannelSink, broken: Callable[[str], None]) -> None:
        self._sink = sink
        self._broken = broken
        self.room = sink.room

    def pages(self, pages: Pages) -> None:
        self._broken("pages")
        self._sink.pages(pages)


class AnyGuest:
    """Memory made for whatever guest comes; ``fault`` raises where a test wants it to."""

    def __init__(self, fault: str = "") -> None:
        self.ram: Ram | None = None
        self.stream: MainStream | None = None
        self.marks: list[int] = []
        self.aborted: RamferryError | None = None
        self._fault = fault
        self._sink: MemorySink | None = None

    def begin(self, head: StreamHead) -> None:
        self._break("begin")
        self.ram = Ram.create([(block.name, block.used_length) for block in head.blocks])
        self.ram.blocks[RAM_ID].view[:4096] = b"\xa5" * 4096  # a zero page must be filled
        self._sink = MemorySink(self.ram, self._load)
        self._sink.begin(head)

    def channel(self, channel_id: int) -> ChannelSink:
        assert self._sink is not None
        return Breaking(self._sink.channel(channel_id), self._break)

    def main_pages(self, pages: Pages) -> None:
        self._break("pages")
        assert self._sink is not None
        self._sink.main_pages(pages)

    def mark(self, index: int) -> None:
        self.marks.append(index)

    def commit(self) -> None:
        assert self._sink is not None
        self._sink.commit()

    def taken_over(self) -> None:
        """Nothing runs here."""

    def finish(self, stream: MainStream) -> None:
        self._break("finish")
        assert self._sink is not None
        self._sink.finish(stream)

    def abort(self, error: RamferryError) -> None:
        self.aborted = error

    def _load(self, stream: MainStream) -> None:
        self.stream = stream

    def _break(self, place: str) -> None:
        if self._fault == place:
            raise HostError("no space left on device")


@contextmanager
def receiving(qemu: Qemu, sink: AnyGuest, channels: int) -> Iterator[Callable[[], ReceiveResult]]:
    """A receiver in a thread; call what is given for its result."""
    address = UnixAddress(f"{qemu.folder}/receiver")
    receiver = Receiver(ReceiveSettings(address, channels), sink, Quiet())
    results: list[ReceiveResult] = []
    thread = threading.Thread(target=lambda: results.append(receiver.run()))
    thread.start()

    def result() -> ReceiveResult:
        thread.join(20)
        return results[0]

    try:
        yield result
    finally:
        receiver.stop("the test is over")
        thread.join(20)
        assert not thread.is_alive()


def send(qemu: Qemu, method: str, channels: int) -> str:
    """Migrate to the receiver; how it ended."""
    prepare(qemu, method, channels)
    qemu.qmp.execute("migrate", {"uri": f"unix:{qemu.folder}/receiver"})
    return wait_ended(qemu, 40)


def assert_same(qemu: Qemu, sink: AnyGuest) -> None:
    assert sink.ram is not None
    mine = sink.ram.blocks[RAM_ID].pages
    rows = np.flatnonzero((mine != qemu.ram.reshape(mine.shape)).any(axis=1))
    assert not len(rows), f"{len(rows)} pages differ: {rows[:8].tolist()}"


@BOTH
@pytest.mark.parametrize(("method", "channels"), [("none", 1), ("zlib", 4), ("zstd", 16)])
def test_a_paused_guest_arrives(pair: Pair, method: str, channels: int) -> None:
    sink = AnyGuest()
    with Qemu(pair.source, MEMORY) as qemu:
        fill(qemu.ram)
        with receiving(qemu, sink, channels) as result:
            ended_there = send(qemu, method, channels)
            ended = result()
        assert ended.completed, ended.error
        assert ended_there == "completed"
        assert_same(qemu, sink)
    assert (ended.method, ended.channels) == (method, channels)
    assert ended.machine == pair.source.machine
    assert sink.stream is not None
    assert sink.stream.head.startswith(b"QEVM")
    assert sink.stream.tail.endswith(b"}")
    assert sink.marks == list(range(len(sink.marks)))


@BOTH
def test_a_running_guest_arrives_as_it_stopped(pair: Pair) -> None:
    sink = AnyGuest()
    boot = boot_sector.boot_sector(MEMORY, first=LOW_MEMORY, rate=20)
    with Qemu(pair.source, MEMORY, boot=boot) as qemu:
        start_guest(qemu)
        with receiving(qemu, sink, 4) as result:
            assert send(qemu, "none", 4) == "completed"
            assert result().completed
        # the status is final a moment before
        until("postmigrate", lambda: run_state(qemu) == "postmigrate", 10)
        # 7.2 under TCG loses updates of hot pages by itself: only what was copied is judged there
        if pair.source.version >= (9,):
            assert_same(qemu, sink)


@BOTH
@pytest.mark.parametrize("fault", ["begin", "pages", "finish"])
@once_more_if_qemu_fails
def test_a_sink_that_fails_leaves_the_guest_at_the_source(pair: Pair, fault: str) -> None:
    sink = AnyGuest(fault)
    boot = boot_sector.boot_sector(MEMORY, first=LOW_MEMORY, rate=0.0)
    with Qemu(pair.source, MEMORY, boot=boot) as qemu:
        qemu.qmp.execute("cont")
        with receiving(qemu, sink, 2) as result, may_hang(qemu):
            assert send(qemu, "none", 2) == "failed"
            ended = result()
        assert not ended.completed
        assert ended.error == "no space left on device"
        assert sink.aborted is not None
        until("a running guest", lambda: run_state(qemu) == "running", 10)


@BOTH
def test_a_cancelled_migration_is_told(pair: Pair, tmp_path: Path) -> None:
    assert tmp_path.exists()
    sink = AnyGuest()
    with Qemu(pair.source, MEMORY) as qemu:
        fill(qemu.ram)
        with receiving(qemu, sink, 2) as result:
            prepare(qemu, "none", 2, {"max-bandwidth": 1 << 20})
            qemu.qmp.execute("migrate", {"uri": f"unix:{qemu.folder}/receiver"})
            until("a migration under way", lambda: status(qemu) in ("active", "failed"), 20)
            assert status(qemu) == "active"
            qemu.qmp.execute("migrate_cancel")
            ended = result()
        assert not ended.completed
        assert wait_ended(qemu, 10) in CANCELLED
        assert sink.aborted is not None
