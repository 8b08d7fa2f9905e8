"""Migrations that end in memory: good ones arrive, and every fault of a relay's is one here."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from test_relay_bad_packets import PACKETS
from test_relay_bad_streams import CHANNELS, STREAMS

from fakes_cases import Case
from fakes_source import SETTLE, STALL, FakeSource
from fakes_wire import (
    MAIN,
    OPEN_RETURN_PATH,
    Guest,
    Mode,
    Script,
    Step,
    configuration,
    device,
    header,
)
from leftovers import no_thread_left
from patiently import until
from ramferry.codec import METHODS
from ramferry.errors import HostError, PeerTimeout, RamferryError
from ramferry.flows.contracts import MainStream, Offsets
from ramferry.flows.ends import memory_sink
from ramferry.flows.ends.memory_sink import MemorySink
from ramferry.flows.inlet import watching
from ramferry.flows.receiver import Receiver
from ramferry.flows.settings import ReceiveSettings
from ramferry.metrics import ReceiveResult, RelayCounters
from ramferry.patience import Patience
from ramferry.qatzip import accelerator
from ramferry.ram.blocks import Ram
from ramferry.transport.address import Address, UnixAddress
from ramferry.transport.plain import Plain
from standins import StandIn

OTHERWISE = {
    "another page size": "the guest's pages have 65536 bytes, not 4096",
    "nothing but commands": "",
    "ADVISE": "this migration may switch to postcopy, .*: unset the postcopy-ram capability",
}
"""Where a receiver says it in its own words, or (empty) sees no fault."""


class Seen:
    """An observer."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.snapshots: list[RelayCounters] = []
        self.address = threading.Event()

    def listening(self, address: Address) -> None:
        assert str(address)
        self.address.set()

    def progress(self, counters: RelayCounters) -> None:
        self.snapshots.append(counters)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Reception:
    """A receiver in a thread, with memory for a scripted guest."""

    def __init__(self, folder: Path, guest: Guest, **settings: object) -> None:
        self.ram = Ram.create(list(guest.blocks.items()), page_size=guest.page_size)
        for block in self.ram.blocks.values():
            block.view[:] = b"\xa5" * block.size
        self.stream: list[MainStream] = []
        self.fault: RamferryError | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        """Done between the last page's arrival and SHUT, where a stop is still heeded."""
        self.committing: Callable[[], None] = lambda: None
        """Done where it is too late."""
        self.seen = Seen()
        self.address = UnixAddress(str(folder / "in"))
        settings.setdefault("page_size", guest.page_size)
        made = ReceiveSettings(self.address, **settings)  # type: ignore[arg-type]
        self.taken_over = threading.Event()
        self.sink = MemorySink(self.ram, self._load, self.taken_over.set)
        self.sink.commit = self._commit  # type: ignore[method-assign]
        self.receiver = Receiver(made, self.sink, self.seen)
        self._results: list[ReceiveResult] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._results.append(self.receiver.run())

    def _commit(self) -> None:
        self.committing()

    def _load(self, stream: MainStream) -> None:
        if self.fault is not None:
            raise self.fault
        self.stream.append(stream)
        self.meanwhile()

    def result(self) -> ReceiveResult:
        self._thread.join(SETTLE)
        assert not self._thread.is_alive()
        return self._results[0]


def carried(folder: Path, script: Script, **settings: object) -> tuple[Reception, FakeSource]:
    """Run a script against a receiver; both have ended."""
    reception = Reception(folder, script.guest, **settings)
    source = FakeSource(reception.address, script)
    try:
        reception.result()
        assert source.ended.wait(SETTLE)
    finally:
        reception.receiver.stop("the test is over")
        source.close()
    return reception, source


def test_a_migration_that_is_over_at_once_was_seen_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "STEP", 2.0)
    reception, _ = carried(tmp_path, Script(Guest()))
    assert reception.result().completed
    assert reception.seen.snapshots


def test_the_watchs_step_ends_when_the_guest_was_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "STEP", 10 * SETTLE)
    script = Script(Guest())
    reception = Reception(tmp_path, script.guest)
    stepping, step = threading.Event(), reception.receiver._loop.step

    def seen(timeout: float) -> None:
        if reception.seen.snapshots and timeout == watching.STEP:
            stepping.set()
        step(timeout)

    reception.receiver._loop.step = seen  # type: ignore[method-assign]
    reception.sink.mark = lambda _: until(stepping.is_set)  # type: ignore[method-assign]
    source = FakeSource(reception.address, script)
    try:
        assert reception.result().completed
    finally:
        reception.receiver.stop("the test is over")
        source.close()


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("mode", ["section", "round"])
@pytest.mark.parametrize("channels", [1, 5])
def test_a_guest_arrives(tmp_path: Path, method: str, mode: str, channels: int) -> None:
    guest = Guest(method=method, mode=mode, channels=channels, zeros=3, uuid=bytes(range(16)))  # type: ignore[arg-type]
    script = Script(replace(guest, sync_on_data=mode == "section", stale_size=mode == "section"))
    reception, source = carried(tmp_path, script)
    result = reception.result()
    assert result.completed, result.error
    assert (result.method, result.channels) == (method, channels)
    assert result.machine == "pc-i440fx-7.2"
    assert source.status == "completed"
    # pages that no packet named keep what the memory held; those with zeros are filled
    sent = touched(script)
    for name, memory in script.memory.items():
        block = reception.ram.blocks[name]
        for at in range(0, len(memory), guest.page_size):
            expected = memory[at : at + guest.page_size] if (name, at) in sent else b"\xa5" * 4096
            assert block.view[at : at + guest.page_size] == expected


@pytest.mark.parametrize("device", [False, True])
def test_pages_are_received_where_they_belong_but_from_a_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: bool
) -> None:
    """A device writes to memory of its own."""
    answer = StandIn(tmp_path).library if device else "there is no QAT device"
    monkeypatch.setattr(accelerator, "_answer", [answer])
    asked: list[str] = []

    def room(_: object, block: str, normal: Offsets) -> None:
        assert len(normal)
        asked.append(block)

    monkeypatch.setattr(memory_sink._Channel, "room", room)
    reception, _ = carried(tmp_path, Script(Guest(method="qatzip")))
    result = reception.result()
    assert (result.completed, result.backend == "qat") == (True, device)
    assert bool(asked) is not device


def test_packets_of_zero_pages_alone_are_taken(tmp_path: Path) -> None:
    script = Script(Guest(pages=0, zeros=5))
    reception, _ = carried(tmp_path, script)
    assert reception.result().completed
    view, sent = reception.ram.blocks["pc.ram"].view, touched(script)
    assert len(sent) > 10
    assert all(bytes(view[at : at + 4096]) == bytes(4096) for _, at in sent)


def test_a_guest_may_run_before_its_source_has_closed(tmp_path: Path) -> None:
    reception = Reception(tmp_path, Guest())
    source = FakeSource(reception.address, Script(Guest()))
    try:
        assert reception.taken_over.wait(SETTLE)
        assert source.ended.wait(SETTLE)
        assert source.status == "completed"
        assert all(sock.fileno() >= 0 for sock in source.socks.values())
    finally:
        source.close()
    assert reception.result().completed


def test_a_source_that_is_lost_before_it_is_told_keeps_its_guest(tmp_path: Path) -> None:
    reception = Reception(tmp_path, Guest())
    source = FakeSource(reception.address, Script(Guest()))

    def lose() -> None:
        source.done.wait(SETTLE)
        source.socks[MAIN].shutdown(socket.SHUT_RDWR)

    reception.meanwhile = lose
    try:
        reception.result()
    finally:
        source.close()
    assert source.status == "failed"
    assert not reception.taken_over.is_set()
    assert any("the source could not be told" in note for note in reception.seen.notes)


def test_a_sink_that_takes_its_time_is_not_waited_for_as_an_end_of_the_stream(
    tmp_path: Path,
) -> None:
    """Of a silence longer than the stall limit the source would be blamed."""
    reception = Reception(tmp_path, Guest())
    waits: list[str] = []
    reception.meanwhile = lambda: waits.append(reception.receiver.session.behind.waits)
    source = FakeSource(reception.address, Script(Guest()))
    try:
        assert reception.result().completed
    finally:
        source.close()
    assert waits == [""]


def touched(script: Script) -> set[tuple[str, int]]:
    """Every page that some packet names."""
    places = set()
    for step in script.steps:
        if isinstance(step, Step) and step.what == "packet":
            count = int.from_bytes(step.data[16:20], "big") + int.from_bytes(
                step.data[32:36], "big"
            )
            for index in range(count):
                at = 320 + 8 * index
                places.add(("pc.ram", int.from_bytes(step.data[at : at + 8], "big")))
    return places


def test_mains_parts_are_kept_without_what_was_answered(tmp_path: Path) -> None:
    early = device(1, b"0000:00:02.0/virtio-mem-device-early", 40)
    script = Script(replace(Guest(mode="section"), early=early))
    reception, source = carried(tmp_path, script)
    (stream,) = reception.stream
    whole = script.stream(MAIN)
    begin = script.guest.preamble
    assert stream.head.startswith(begin[0] + begin[1] + early)
    for answered in begin[2:]:
        assert answered not in stream.head
    assert stream.between == b""
    assert whole.endswith(stream.tail)
    assert stream.tail.startswith(device(7)[:20])
    # PING 1 was answered, and the last word was SHUT 0
    assert bytes(source.answer) == bytes.fromhex("00020004000000010001000400000000")


def test_an_ack_is_sent_only_where_it_is_waited_for(tmp_path: Path) -> None:
    _, source = carried(tmp_path, Script(Guest()), switchover_ack=True)
    assert bytes.fromhex("00070000") in bytes(source.answer)


@pytest.mark.parametrize("case", [*PACKETS, *STREAMS, *CHANNELS], ids=lambda case: case.name)
def test_a_fault_fails_the_migration_at_both_ends(case: Case, tmp_path: Path) -> None:
    sentence = OTHERWISE.get(case.name, case.sentence)
    script = Script(case.guest)
    case.edit(script)
    settings = {"page_size": 4096} if "page size" in case.name else {}
    reception, source = carried(tmp_path, script, **settings)
    result = reception.result()
    if not sentence:
        assert result.completed
        return
    assert re.fullmatch(sentence, result.error), result.error
    assert result.exit_code == case.exit_code
    assert (source.status, reception.stream) == ("failed", [])
    assert source.left() == set()


GIVEN_UP = re.compile(
    r"main: the source (ended the migration before its end|gave up .*)"
    "|multifd [01]: the source closed it .*"
)
UNASKED = (header(), configuration(), OPEN_RETURN_PATH)
"""Without a PING, whose answer may find main closed already."""


@pytest.mark.parametrize("mode", ["section", "round"])
@pytest.mark.parametrize("what", ["preamble", "start", "part", "end", "tail"])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_a_stream_that_ends_early_is_no_guest(
    tmp_path: Path, mode: Mode, what: str, part: float
) -> None:
    """Whatever lacks its end is never given to the sink, and the source keeps its guest."""
    script = Script(Guest(mode=mode, rounds=2, preamble=UNASKED))
    index = script.find(what, MAIN)
    step = script.steps[index]
    assert isinstance(step, Step)
    script.cut(index, int(part * (len(step.data) - 1)))
    reception, source = carried(tmp_path, script)
    result = reception.result()
    assert GIVEN_UP.fullmatch(result.error), result.error
    assert (result.exit_code, source.status, reception.stream) == (5, "failed", [])


def test_threads_for_mains_pages_end_with_a_stream_that_ends_early(tmp_path: Path) -> None:
    script = Script(Guest(channels=0, mode="section", preamble=UNASKED))
    with no_thread_left():
        carried(tmp_path, script.cut(script.find("end", MAIN), 20), channels=0, threads=3)


def test_the_sink_hears_of_every_mark_when_all_before_it_was_taken(tmp_path: Path) -> None:
    reception = Reception(tmp_path, Guest())
    marks: list[int] = []
    reception.sink.mark = marks.append  # type: ignore[method-assign]
    source = FakeSource(reception.address, Script(Guest()))
    try:
        assert reception.result().completed
    finally:
        source.close()
    assert marks == list(range(Guest().rounds + 1))


def test_a_device_that_cannot_be_loaded_fails_it(tmp_path: Path) -> None:
    script = Script(Guest())
    reception = Reception(tmp_path, script.guest)
    reception.fault = HostError("this device is not known here")
    source = FakeSource(reception.address, script)
    result = reception.result()
    source.close()
    assert (result.completed, result.error) == (False, "this device is not known here")
    assert source.status == "failed"


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        ([("pc.ram", 4096)], r"RAM block 'pc\.ram' has 1048576 bytes at the source and 4096 here"),
        ([("pc.ram", 1 << 20)], "RAM block '/rom@etc/acpi/tables' has 32768 .* and none here"),
    ],
)
def test_another_guests_memory_is_refused(
    tmp_path: Path, blocks: list[tuple[str, int]], sentence: str
) -> None:
    script = Script(Guest())
    ram = Ram.create(blocks)
    address = UnixAddress(str(tmp_path / "in"))
    loaded: list[MainStream] = []
    receiver = Receiver(ReceiveSettings(address), MemorySink(ram, loaded.append), Seen())
    results: list[ReceiveResult] = []
    thread = threading.Thread(target=lambda: results.append(receiver.run()))
    thread.start()
    source = FakeSource(address, script)
    thread.join(SETTLE)
    source.close()
    assert re.fullmatch(sentence, results[0].error), results[0].error
    assert (loaded, source.status) == ([], "failed")


def test_a_cancel_before_anybody_came_ends_it(tmp_path: Path) -> None:
    reception = Reception(tmp_path, Guest())
    assert reception.seen.address.wait(SETTLE)
    reception.receiver.stop("enough")
    result = reception.result()
    assert (result.completed, result.exit_code) == (False, 6)
    assert not Path(reception.address.path).exists()


@pytest.mark.parametrize(
    "fall_silent",
    [
        lambda script: script.stop(script.find("payload", 1), 7),
        lambda script: script.stop(script.find("tail"), 300),
        lambda script: script.silence(1),
    ],
)
def test_a_source_that_falls_silent_is_given_up(
    tmp_path: Path, fall_silent: Callable[[Script], object]
) -> None:
    script = Script(Guest())
    fall_silent(script)
    reception, source = carried(tmp_path, script, stall_timeout=STALL, channels=2)
    result = reception.result()
    assert result.exit_code == 9, result.error
    assert source.status == "failed"


def test_a_port_probe_does_no_harm(tmp_path: Path) -> None:
    script = Script(Guest())
    reception = Reception(tmp_path, script.guest)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(reception.address.path)
    source = FakeSource(reception.address, script)
    result = reception.result()
    source.close()
    assert result.completed, result.error


def test_a_stop_is_heeded_until_the_sink_makes_it_final(tmp_path: Path) -> None:
    script = Script(Guest())
    reception = Reception(tmp_path, script.guest)
    committed: list[bool] = []
    reception.committing = lambda: committed.append(True)

    def stop() -> None:
        reception.receiver.stop("enough")
        until(lambda: reception.receiver.error is not None)

    reception.meanwhile = stop
    source = FakeSource(reception.address, script)
    result = reception.result()
    source.close()
    assert (result.completed, result.exit_code, source.status) == (False, 6, "failed")
    assert committed == []
    assert not reception.taken_over.is_set()


def test_a_stop_is_too_late_once_the_sink_makes_it_final(tmp_path: Path) -> None:
    script = Script(Guest())
    reception = Reception(tmp_path, script.guest)

    def stop() -> None:
        reception.receiver.stop("enough")
        heeded = threading.Event()
        reception.receiver._loop.call(heeded.set)
        assert heeded.wait(SETTLE)

    reception.committing = stop
    source = FakeSource(reception.address, script)
    result = reception.result()
    assert source.ended.wait(SETTLE)
    source.close()
    assert (result.completed, source.status) == (True, "completed")
    assert reception.taken_over.is_set()


@pytest.mark.parametrize(
    ("fault", "sentence", "code"),
    [
        (HostError("the folder is gone"), "the folder is gone", 8),
        (ValueError("odd"), r"internal error in the sink: ValueError\('odd'\)", 1),
    ],
)
def test_what_cannot_be_made_final_fails_it(
    tmp_path: Path, fault: Exception, sentence: str, code: int
) -> None:
    script = Script(Guest())
    reception = Reception(tmp_path, script.guest)

    def fail() -> None:
        raise fault

    reception.committing = fail
    source = FakeSource(reception.address, script)
    result = reception.result()
    assert source.ended.wait(SETTLE)
    source.close()
    assert re.fullmatch(sentence, result.error)
    assert (result.completed, result.exit_code, source.status) == (False, code, "failed")
    assert not reception.taken_over.is_set()


def test_a_source_that_is_to_keep_its_guest_is_told_nothing(tmp_path: Path) -> None:
    script = Script(Guest())
    reception = Reception(tmp_path, script.guest, give_back=True)
    committed = threading.Event()
    reception.committing = committed.set
    source = FakeSource(reception.address, script)
    assert committed.wait(SETTLE)
    source.close()
    assert (reception.result().completed, source.status) == (True, "failed")
    assert not reception.taken_over.is_set()


def test_a_process_that_stood_still_is_no_long_farewell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source has not closed yet, and had no moment to do so."""
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return 300.0 * looks

    monkeypatch.setattr(watching, "Patience", partial(Patience, clock=clock))
    script = Script(Guest())
    reception = Reception(tmp_path, script.guest)
    monkeypatch.setattr(FakeSource, "_release", lambda _: None)
    source = FakeSource(reception.address, script)
    assert reception.taken_over.wait(SETTLE)
    reception.result()
    source.close()
    assert looks >= 5, "each look counted for a step, however late it came"


def test_an_answer_waits_as_long_as_any_send_where_pages_come_in_pieces(tmp_path: Path) -> None:
    """Main's short patience is for what it receives."""
    script = Script(Guest(channels=0, mode="section"))
    reception = Reception(tmp_path, script.guest, channels=0, threads=1, stall_timeout=7.0)
    limits: list[bytes] = []

    def look() -> None:
        main = reception.receiver.session.sources[0]
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            limits.append(main._sock.getsockopt(socket.SOL_SOCKET, option, 16))

    reception.meanwhile = look
    source = FakeSource(reception.address, script)
    assert reception.result().completed
    source.close()
    send, receive = (struct.unpack("@ll", limit) for limit in limits)
    assert send == (7, 0)
    assert receive < (1, 0)


def test_a_source_that_takes_no_answer_is_a_silent_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(*_: object) -> int:
        raise PeerTimeout("the peer takes no more bytes")

    monkeypatch.setattr(Plain, "send", send)
    script = Script(Guest())
    reception, source = carried(tmp_path, script)
    result = reception.result()
    assert (result.error, result.exit_code) == ("main: the source takes no answer", 9)
    assert source.status == "failed"
