"""Save files: made by whole migrations, read back, replayed, damaged at every single byte."""

from __future__ import annotations

import re
import threading
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes_destination import FakeDestination, Habits
from fakes_source import FakeSource
from fakes_wire import Guest, Script
from ramferry.codec import METHODS
from ramferry.errors import (
    CorruptDataError,
    MigrationFailed,
    RamferryError,
    RemoteProtocolError,
    UsageError,
)
from ramferry.flows.archive.format import (
    FOOTER_SIZE,
    OPENING,
    Part,
    crc32,
    pack_directory,
    pack_footer,
    pack_numbers,
    unpack_directory,
    unpack_footer,
    unpack_numbers,
)
from ramferry.flows.archive.reader import Archive
from ramferry.flows.contracts import Pages, Sink
from ramferry.flows.ends.archive_sink import ArchiveSink
from ramferry.flows.ends.archive_source import replay
from ramferry.flows.outlet.outgoing import Outgoing
from ramferry.flows.receiver import Receiver
from ramferry.flows.settings import ReceiveSettings, SendSettings
from ramferry.metrics import ReceiveResult, RelayCounters
from ramferry.transport.address import Address, UnixAddress
from ramferry.transport.safefile import SafeFile

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


def nothing() -> None: ...


def any_block(_: str) -> bool:
    """Scripted guests name some of their pages: the others are zero on both sides."""
    return True


class Quiet:
    def listening(self, address: Address) -> None: ...
    def progress(self, counters: RelayCounters) -> None: ...
    def note(self, text: str) -> None: ...


def receive(folder: Path, script: Script, sink: Sink, **settings: object) -> ReceiveResult:
    """Run a whole scripted migration into a sink."""
    address = UnixAddress(str(folder / "in"))
    receiver = Receiver(ReceiveSettings(address, **settings), sink, Quiet())  # type: ignore[arg-type]
    results: list[ReceiveResult] = []
    thread = threading.Thread(target=lambda: results.append(receiver.run()))
    thread.start()
    source = FakeSource(address, script)
    thread.join(20)
    source.close()
    assert not thread.is_alive()
    assert (source.status == "completed") == results[0].completed
    return results[0]


def saved(folder: Path, script: Script, method: str = "qatzip", **settings: object) -> Path:
    path = folder / "state"
    with SafeFile(path, replace=True, like=None) as file:
        result = receive(
            folder, script, ArchiveSink(file, method, None, may_leave_out=any_block), **settings
        )
        assert result.completed, result.error
    return path


def replayed(
    folder: Path, path: Path, script: Script, habits: Habits | None = None, method: str = "none"
) -> FakeDestination:
    """Replay a file to a destination that is given back closed."""
    address = UnixAddress(str(folder / "out"))
    destination = FakeDestination(address, script.guest, method, habits)
    uuid = script.guest.uuid
    settings = SendSettings(address, method, channels=script.guest.channels, uuid=uuid)
    try:
        with Archive(path) as archive, Outgoing(settings) as outgoing:
            assert archive.framed_for({"none", method}) == (method == "zstd")
            replay(archive, outgoing, nothing, nothing, framed=method == "zstd")
    finally:
        destination.released.set()
        destination.close()
    return destination


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("mode", ["section", "round"])
def test_what_was_saved_is_restored(tmp_path: Path, method: str, mode: str) -> None:
    # rounds send pages again, as content and as zeros: the newest copy counts
    uuid = bytes(range(16))
    guest = Guest("zstd", mode=mode, rounds=5, pages=40, zeros=9, uuid=uuid, whole=True)  # type: ignore[arg-type]
    script = Script(guest)
    path = saved(tmp_path, script, method)
    with Archive(path) as archive:
        assert archive.directory.machine == "pc-i440fx-7.2"
        assert archive.directory.uuid == bytes(range(16)).hex()
        assert archive.directory.mode == mode
        assert archive.stream.head.startswith(b"QEVM")
        assert archive.stream.tail.endswith(b"}")
    destination = replayed(tmp_path, path, script)
    assert destination.complete
    assert destination.faults == []
    assert destination.memory == script.memory
    assert destination.uuids == {bytes(range(16))}


def test_a_file_of_former_days_is_restored(tmp_path: Path) -> None:
    uuid = bytes(range(16))
    guest = Guest("none", rounds=3, pages=1, zeros=2, uuid=uuid, whole=True)
    script = Script(guest)
    golden = GOLDEN / "save-2.state"
    destination = replayed(tmp_path, golden, script, method="zstd")
    assert destination.complete
    assert destination.faults == []
    assert destination.memory == script.memory
    # and its directory would be written as it is
    with Archive(golden) as archive:
        assert pack_directory(archive.directory) in golden.read_bytes()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("pages", "zeros", "packets"), [(60, 0, 4), (3, 20, 5), (1, 1, 100)])
def test_pages_that_come_on_main_are_saved_by_several_threads(
    tmp_path: Path, threads: int, pages: int, zeros: int, packets: int
) -> None:
    # most pages come in several rounds, with and without content
    plain = Guest(channels=0, mode="section", rounds=6, packets=packets, pages=pages, zeros=zeros)
    script = Script(replace(plain, whole=True))
    uuid = bytes(range(16))
    path = saved(tmp_path, script, "zstd", channels=0, threads=threads, uuid=uuid)
    with Archive(path) as archive:
        assert archive.directory.uuid == uuid.hex()
        assert int(archive.chunks["pages"].sum()) == 6 * packets * pages
    restored = Script(Guest(method="none", uuid=uuid))
    destination = replayed(tmp_path, path, restored, method="zstd")
    assert destination.complete
    assert destination.memory == script.memory


@pytest.mark.parametrize("rounds", [1, 5])
def test_zstd_chunks_are_sent_as_they_are(tmp_path: Path, rounds: int) -> None:
    # with several rounds some chunks hold older copies, which must not be sent
    script = Script(Guest(method="none", rounds=rounds, pages=40, zeros=9, whole=True))
    path = saved(tmp_path, script, "zstd")
    raw = path.read_bytes()
    with Archive(path) as archive:
        chunks = {
            raw[int(row["offset"]) : int(row["offset"]) + int(row["size"])]
            for row in archive.chunks
        }
        older = any(map(archive.superseded, range(len(archive.directory.blocks))))
    destination = replayed(tmp_path, path, script, method="zstd")
    assert destination.complete
    assert destination.faults == []
    assert destination.memory == script.memory
    sent = set(destination.payloads)
    assert sent & chunks
    assert older == (rounds > 1) == bool(sent - chunks)


def test_only_zstd_goes_to_a_qemu_as_it_is(tmp_path: Path) -> None:
    for method in METHODS:
        with Archive(saved(tmp_path, Script(Guest(whole=True)), method)) as archive:
            assert archive.framed_for(METHODS) == (method == "zstd")
            assert not archive.framed_for({"none", "zlib"})


def test_page_numbers_are_packed_as_differences() -> None:
    numbers = [np.array([3, 4, 5], "<u4"), np.array([2, 0xFFFFFFFF], "<u4")]
    raw = pack_numbers(numbers)
    literal = bytes.fromhex("03000000 01000000 01000000 fdffffff fdffffff")
    assert zlib.decompress(raw) == literal
    assert unpack_numbers(raw, 5).tolist() == [3, 4, 5, 2, 0xFFFFFFFF]
    assert unpack_numbers(zlib.compress(literal), 5).tolist() == [3, 4, 5, 2, 0xFFFFFFFF]
    assert len(unpack_numbers(pack_numbers([]), 0)) == 0


@pytest.mark.parametrize("count", [0, 4, 6])
def test_other_page_numbers_than_the_chunks_have_are_refused(count: int) -> None:
    raw = pack_numbers([np.arange(5, dtype="<u4")])
    with pytest.raises(CorruptDataError, match=f"{count} page numbers"):
        unpack_numbers(raw, count)
    with pytest.raises(CorruptDataError, match="page numbers"):
        unpack_numbers(raw[:-1], 5)
    with pytest.raises(CorruptDataError, match="damaged data"):
        unpack_numbers(b"no zlib data", 5)


@pytest.mark.parametrize(("method", "framed"), [("qatzip", False), ("zstd", False), ("zstd", True)])
def test_every_single_byte_that_is_flipped_is_found(
    tmp_path: Path, method: str, framed: bool
) -> None:
    guest = Guest("none", page_size=1024, rounds=2, packets=1, pages=2, zeros=1, whole=True)
    with SafeFile(tmp_path / "state", replace=True, like=None) as file:
        sink = ArchiveSink(file, method, None, may_leave_out=any_block)
        assert receive(tmp_path, Script(guest), sink, page_size=1024).completed
    sound = (tmp_path / "state").read_bytes()
    damaged = tmp_path / "damaged"
    buffer = memoryview(bytearray(512 * 1024))

    def read_all() -> None:
        with Archive(damaged) as archive:
            for batch in archive.batches(framed=framed):
                batch.load(buffer)

    damaged.write_bytes(sound)
    read_all()
    missed = []
    with damaged.open("r+b", buffering=0) as file_:
        for at, byte in enumerate(sound):
            file_.seek(at)
            file_.write(bytes([byte ^ (1 << at % 8)]))
            try:
                read_all()
                missed.append(at)
            except (CorruptDataError, UsageError):
                pass
            file_.seek(at)
            file_.write(bytes([byte]))
    # a copy that a later round replaced is read by nobody
    with Archive(tmp_path / "state") as archive:
        dead = set(range(len(archive.chunks))) - {one._index for one in archive.batches()}
        rows = [archive.chunks[index] for index in dead]
    passed_over = {
        at for row in rows for at in range(int(row["offset"]), int(row["offset"] + row["size"]))
    }
    assert len(sound) > 2000
    assert set(missed) <= passed_over


def test_a_page_after_the_end_is_refused(tmp_path: Path) -> None:
    """It would not be in the index, or in half of it."""
    with SafeFile(tmp_path / "state", replace=True, like=None) as file:
        sink = ArchiveSink(file, "zstd", 1, may_leave_out=any_block)
        assert receive(tmp_path, Script(Guest()), sink).completed
        channel, none = sink.channel(9), np.empty(0, np.uint64)
        first = np.zeros(1, np.uint64)
        with pytest.raises(RemoteProtocolError, match="no page after the end"):
            channel.pages(Pages("ram", none, first, memoryview(b"")))
        with pytest.raises(RemoteProtocolError, match="no page after the end"):
            channel.pages(Pages("ram", first, none, memoryview(bytes(4096))))


@pytest.mark.parametrize("kept", [0, 5, 16, 40, 0.5, 0.99])
def test_a_file_that_was_cut_is_none(tmp_path: Path, kept: float) -> None:
    path = saved(tmp_path, Script(Guest(whole=True)))
    raw = path.read_bytes()
    path.write_bytes(raw[: int(kept if kept >= 1 else kept * len(raw))])
    with pytest.raises((CorruptDataError, UsageError)):
        Archive(path)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"not a save file, but long enough to be one" * 10)
    with pytest.raises(UsageError, match="is no file of ramferry save"):
        Archive(other)
    other.write_bytes(OPENING[:8] + bytes([9]) + bytes(100))
    with pytest.raises(CorruptDataError, match="a save file of version 2"):
        Archive(other)


def test_the_footers_bytes() -> None:
    directory = b'{"machine":"x"}'
    raw = pack_footer(0x1234, directory)
    assert len(raw) == FOOTER_SIZE == 36
    expected = b"RAMFERRY" + (0x1234).to_bytes(8, "little") + (15).to_bytes(4, "little")
    expected += crc32(directory).to_bytes(4, "little") + (0x1234 + 15 + 36).to_bytes(8, "little")
    expected += crc32(expected).to_bytes(4, "little")
    assert raw == expected
    assert unpack_footer(raw, 0x1234 + 15 + 36) == Part(0x1234, 15, crc32(directory))
    with pytest.raises(CorruptDataError):
        unpack_footer(raw, 0x1234)
    for raw in (directory, b'{"machine":"\xd2"}', b'{"parts":' + b"[" * 200_000):
        with pytest.raises(CorruptDataError, match="a directory of a save file"):
            unpack_directory(raw)


@pytest.mark.parametrize(
    ("habits", "error"),
    [
        (Habits(shut=1), "refused the guest"),
        (Habits(shut=None), "closed the main channel"),
        (Habits(garbage=b"\0\x63\0\0"), "a message type"),
        (Habits(close_channel_after=(1, 2)), "broke the connection|closed the main"),
        (Habits(close_main_at_mark=1), "takes no more|closed the main"),
    ],
)
def test_a_destination_that_fails_is_told_of(tmp_path: Path, habits: Habits, error: str) -> None:
    script = Script(Guest(method="none", rounds=2, packets=3, pages=30, whole=True))
    path = saved(tmp_path, script)
    with pytest.raises(RamferryError, match=error):
        replayed(tmp_path, path, script, habits)


def test_damage_on_the_way_ends_the_migration_before_its_tail(tmp_path: Path) -> None:
    script = Script(Guest(method="none", rounds=2, whole=True))
    path = saved(tmp_path, script)
    raw = bytearray(path.read_bytes())
    with Archive(path) as archive:
        raw[int(archive.chunks["offset"][-1]) + 30] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CorruptDataError, match=r"block 'pc\.ram' at 0x[0-9a-f]+: expected CRC"):
        replayed(tmp_path, path, script)


def test_a_source_that_ends_early_leaves_no_file(tmp_path: Path) -> None:
    script = Script(Guest(rounds=3))
    script.cut(script.find("end"), 3)
    with SafeFile(tmp_path / "state", replace=True, like=None) as file:
        result = receive(tmp_path, script, ArchiveSink(file, "zstd", 1, may_leave_out=any_block))
    assert not result.completed
    assert result.exit_code == MigrationFailed.exit_code
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("channels", [0, 2])
def test_a_file_without_some_of_the_memory_is_none(tmp_path: Path, channels: int) -> None:
    """As of a QEMU that leaves shared memory out (x-ignore-shared)."""
    settings = {} if channels else {"channels": 0, "threads": 1}
    for whole in (False, True):
        guest = Guest(channels=channels, mode="section", whole=whole, zeros=2)
        with SafeFile(tmp_path / "state", replace=True, like=None) as file:
            result = receive(tmp_path, Script(guest), ArchiveSink(file, "zstd", 1), **settings)
        assert result.completed is whole
        assert (tmp_path / "state").exists() is whole
        if not whole:
            assert result.exit_code == MigrationFailed.exit_code
            assert re.match(
                r"the QEMU left out \d+ of the 256 pages of RAM block 'pc\.ram', the first at 0x",
                result.error,
            )


def test_pages_that_nobody_uses_are_zero(tmp_path: Path) -> None:
    """As of virtio-mem, of whose block nothing may come."""
    script = Script(Guest(pages=40))
    left_out: set[str] = set()

    def unplugged(block: str) -> bool:
        left_out.add(block)
        return True

    with SafeFile(tmp_path / "state", replace=True, like=None) as file:
        sink = ArchiveSink(file, "zstd", 1, may_leave_out=unplugged)
        assert receive(tmp_path, script, sink).completed
    assert left_out == set(script.guest.blocks)
    with Archive(tmp_path / "state") as archive:
        for number, block in enumerate(archive.directory.blocks):
            pages = sum(int(row["pages"]) for row in archive.chunks if row["block"] == number)
            assert len(archive.zero_pages(number)) + pages >= block.size // 4096
    assert replayed(tmp_path, tmp_path / "state", script, method="zstd").memory == script.memory
