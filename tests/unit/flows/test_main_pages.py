"""Pages of a source without multifd: taken by several threads, the newest copy last."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fakes_source import SETTLE, FakeSource
from fakes_wire import MAIN, Guest, Script
from ramferry.errors import HostError, RamferryError
from ramferry.flows.contracts import MainStream, Offsets, Pages, StreamHead
from ramferry.flows.ends.memory_sink import MemorySink
from ramferry.flows.receiver import Receiver
from ramferry.flows.settings import ReceiveSettings
from ramferry.metrics import ReceiveResult, RelayCounters
from ramferry.ram.blocks import Ram
from ramferry.transport.address import Address, UnixAddress

PLAIN = Guest(channels=0, mode="section")


class Quiet:
    def listening(self, address: Address) -> None: ...
    def progress(self, counters: RelayCounters) -> None: ...
    def note(self, text: str) -> None: ...


class Watched:
    """A sink that notes in which order it takes pages, and may be slow or fail."""

    def __init__(self) -> None:
        self.order: list[tuple[str, int]] = []
        self.threads: set[str] = set()
        self.second = threading.Event()
        """A second packet is being taken."""
        self.fault: RamferryError | None = None
        self.errors: list[RamferryError] = []
        self.finished = False
        self._lock = threading.Lock()
        self._packets = 0

    def begin(self, head: StreamHead) -> None: ...
    def mark(self, index: int) -> None:  # noqa: ARG002
        raise AssertionError("pages of an earlier round may be under way")

    def channel(self, channel_id: int) -> Watched:  # noqa: ARG002
        with self._lock:
            self.threads.add(threading.current_thread().name)
        return self

    def room(self, block: str, normal: Offsets) -> None: ...

    def pages(self, pages: Pages) -> None:
        if self.fault is not None:
            raise self.fault
        with self._lock:
            self._packets += 1
            first = self._packets == 1
        if first:
            assert self.second.wait(SETTLE), "a second thread works beside the first"
        else:
            self.second.set()
        with self._lock:
            self.order += [("content", int(at) // 4096) for at in pages.normal]

    def main_pages(self, pages: Pages) -> None:
        with self._lock:
            self.order += [("zero", int(at) // 4096) for at in pages.zero]

    def commit(self) -> None: ...

    def taken_over(self) -> None:
        """Nothing runs here."""

    def finish(self, stream: MainStream) -> None:  # noqa: ARG002
        self.finished = True

    def abort(self, error: RamferryError) -> None:
        self.errors.append(error)


def received(
    folder: Path, script: Script, sink: MemorySink | Watched, threads: int
) -> tuple[ReceiveResult, FakeSource]:
    address = UnixAddress(str(folder / "in"))
    settings = ReceiveSettings(address, channels=0, threads=threads)
    receiver = Receiver(settings, sink, Quiet())
    results: list[ReceiveResult] = []
    thread = threading.Thread(target=lambda: results.append(receiver.run()))
    thread.start()
    source = FakeSource(address, script)
    thread.join(SETTLE)
    source.close()
    assert not thread.is_alive()
    return results[0], source


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_a_guest_arrives_without_channels(tmp_path: Path, threads: int) -> None:
    script = Script(replace(PLAIN, rounds=8, packets=9, pages=7, zeros=5))
    ram = Ram.create(list(script.guest.blocks.items()))
    result, source = received(tmp_path, script, MemorySink(ram, lambda _: None), threads)
    assert result.completed, result.error
    assert source.status == "completed"
    assert result.counters.normal_pages == 8 * 9 * 7
    assert result.counters.zero_pages == 8 * 9 * 5
    for name, block in ram.blocks.items():
        assert block.view == script.memory[name]


def test_a_newer_copy_waits_for_the_older_one(tmp_path: Path) -> None:
    # the first packet of 128 pages is held until the second is being taken; zeros of the next
    # section replace both
    script = Script(replace(PLAIN, rounds=2, packets=1, pages=250, zeros=0))
    again = Script(replace(PLAIN, rounds=2, packets=1, pages=0, zeros=250))
    end = script.find("end")
    script.edit(end, lambda _: again.steps[again.find("end")].data)  # type: ignore[union-attr]
    sink = Watched()
    result, _ = received(tmp_path, script, sink, 2)
    assert result.completed, result.error
    assert sink.threads == {"pages 0", "pages 1"}
    place = {what: index for index, what in enumerate(sink.order)}
    assert len(place) == len(sink.order) == 500
    both = [at for kind, at in place if kind == "zero" and ("content", at) in place]
    assert len(both) > 240
    assert all(place["content", at] < place["zero", at] for at in both)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_sink_that_fails_in_a_thread_fails_the_migration(tmp_path: Path, threads: int) -> None:
    # more pages than the packets hold, so that main waits for one of them
    script = Script(replace(PLAIN, rounds=30, packets=1, pages=250))
    sink = Watched()
    sink.fault = HostError("the disk is full")
    result, source = received(tmp_path, script, sink, threads)
    assert (result.completed, result.error) == (False, "the disk is full")
    assert result.exit_code == HostError.exit_code
    assert source.status == "failed"
    assert not sink.finished
    assert [str(error) for error in sink.errors] == ["the disk is full"]


@pytest.mark.parametrize("left", [1, 4000, 5000])
def test_a_source_that_ends_in_a_page_fails(tmp_path: Path, left: int) -> None:
    script = Script(replace(PLAIN, rounds=3))
    script.cut(script.find("part"), left)
    ram = Ram.create(list(script.guest.blocks.items()))
    result, source = received(tmp_path, script, MemorySink(ram, lambda _: None), 2)
    assert not result.completed
    assert re.match("main: the source (ended|broke) ", result.error), result.error
    assert source.left() <= {MAIN}
