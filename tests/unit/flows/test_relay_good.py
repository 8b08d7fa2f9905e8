"""Whole migrations through a real relay: every method, both sync modes, all that QEMUs send."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fakes_destination import Habits
from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import SETTLE
from fakes_wire import (
    MAIN,
    Action,
    Do,
    Guest,
    Mode,
    Script,
    Step,
    command,
    device,
    device_content,
    page_bits,
)
from ramferry.codec import METHODS
from ramferry.flows.outlet.outbox import Outbox
from ramferry.qatzip.members import walk
from ramferry.transport import budget
from ramferry.transport.address import UnixAddress
from ramferry.transport.pacing import Pacer
from ramferry.transport.plain import Plain
from ramferry.wire.packets import DEVICE_STATE_LAYOUT, header_size
from ramferry.wire.return_path import pong, shut


@pytest.mark.parametrize("method_out", METHODS)
@pytest.mark.parametrize("method_in", METHODS)
@pytest.mark.parametrize("mode", ["section", "round"])
def test_every_method_becomes_every_other(
    tmp_path: Path, mode: Mode, method_in: str, method_out: str
) -> None:
    script = Script(Guest(method=method_in, mode=mode, zeros=2 if mode == "round" else 0))
    stage = Stage(tmp_path, method=method_out)
    with RelayThread(stage.settings) as relay:
        destination = stage.carry(relay, script)
        result = relay.finished()
    assert destination.methods == {method_out}
    assert (result.method_in, result.method_out) == (method_in, method_out)
    assert result.channels == 2
    assert result.gated


@pytest.mark.parametrize(
    ("asked", "most", "sizes"),
    [("auto", 65536, [16, 16, 8]), ("64K", 65536, [16, 16, 8]), ("packet", 524288, [40])],
)
@pytest.mark.parametrize("method_in", ["none", "zstd"])
def test_packets_are_cut_into_members_as_asked(
    tmp_path: Path, method_in: str, asked: str, most: int, sizes: list[int]
) -> None:
    script = Script(Guest(method=method_in, pages=40))
    stage = Stage(tmp_path, method="qatzip", member_size=asked)
    with RelayThread(stage.settings) as relay:
        destination = stage.carry(relay, script)
        result = relay.finished()
    assert result.member_size == most
    assert destination.payloads
    for payload in destination.payloads:
        chain = walk(memoryview(payload))
        assert chain is not None
        assert [member.src // 4096 for member in chain] == sizes


@pytest.mark.parametrize(("method_in", "method_out"), [("qatzip", "qatzip"), ("qatzip", "none")])
def test_members_that_others_wrote_are_not_told(
    tmp_path: Path, method_in: str, method_out: str
) -> None:
    stage = Stage(tmp_path, method=method_out)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, Script(Guest(method=method_in)))
        assert relay.finished().member_size is None


@pytest.mark.parametrize("mode", ["section", "round"])
@pytest.mark.parametrize("channels", [1, 2, 16])
def test_any_number_of_channels(tmp_path: Path, channels: int, mode: Mode) -> None:
    script = Script(Guest(channels=channels, mode=mode, packets=3))
    stage = Stage(tmp_path, method="zstd")
    for count in (None, channels):
        stage.change(channels=count)
        with RelayThread(stage.settings) as relay:
            stage.carry(relay, script)
            result = relay.finished()
            assert result.channels == channels
            names = [channel.name for channel in result.counters.channels]
            assert sorted(names) == sorted(["main", *(f"multifd {id}" for id in range(channels))])


@pytest.mark.parametrize(("method_in", "method_out"), [("none", "qpl"), ("uadk", "zlib")])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_any_page_size(tmp_path: Path, bits: int, method_in: str, method_out: str) -> None:
    guest = Guest(method=method_in, page_size=1 << bits, pages=4, zeros=2)
    guest = replace(guest, preamble=(*guest.preamble[:2], page_bits(bits), *guest.preamble[2:]))
    stage = Stage(tmp_path, method=method_out, page_size=1 << bits)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, Script(guest))


@pytest.mark.parametrize("method_out", ["none", "zlib"])
def test_what_only_qemu_7_2_sends(tmp_path: Path, method_out: str) -> None:
    """SYNC on a data packet with an empty one behind it, and stale sizes."""
    script = Script(Guest(method="none", mode="section", sync_on_data=True, stale_size=True))
    stage = Stage(tmp_path, method=method_out)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)


def test_a_migration_that_advises_postcopy_for_dirty_bitmaps_alone(tmp_path: Path) -> None:
    """dirty-bitmaps without postcopy-ram: POSTCOPY_ADVISE comes without page sizes."""
    preamble = Guest().preamble
    script = Script(replace(Guest(), preamble=(*preamble[:3], command(3), *preamble[3:])))
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)


def test_packets_of_zero_pages_alone_name_the_outgoing_method(tmp_path: Path) -> None:
    script = Script(Guest(method="none", pages=0, zeros=7))
    stage = Stage(tmp_path, method="zstd")
    with RelayThread(stage.settings) as relay:
        destination = stage.carry(relay, script)
        assert destination.methods == {"zstd"}
        assert destination.zero_pages == 2 * 3 * 2 * 7
        assert relay.finished().counters.zero_pages == destination.zero_pages


def test_idle_channels_only_sync(tmp_path: Path) -> None:
    script = Script(Guest(packets=0))
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)
        result = relay.finished()
    assert result.method_in == ""
    assert result.counters.normal_bytes == 0


def test_device_state_passes_as_it_is(tmp_path: Path) -> None:
    size = 700_001
    script = Script(Guest(method="zlib", device_state=size))
    stage = Stage(tmp_path, method="qatzip")
    with RelayThread(stage.settings) as relay:
        destination = stage.carry(relay, script)
    for channel in range(2):
        assert destination.device_states[channel] == device_content(channel, size)
        assert destination.device_names[channel] == f"0000:00:0{channel}.0/vfio"


def with_devices_before_pages(size: int) -> Script:
    """Devices' states in the second round, each in one step with the packet behind it."""
    script = Script(Guest(method="zlib", device_state=size))
    for channel in range(2):
        first = script.find("device header", channel)
        header, content = script.steps[first : first + 2]
        del script.steps[first : first + 2]
        place = script.find("packet", channel)
        pieces = [header, content, *script.steps[place : place + 2]]
        data = b"".join(piece.data for piece in pieces if isinstance(piece, Step))
        script.steps[place : place + 2] = [Step(channel, data, "all at once")]
    return script


@pytest.mark.parametrize("size", [1, 500, 1067, 1068, 1069, 1075, 1076, 1077, 5000])
@pytest.mark.parametrize("most", ["least", "whole", "any"])
def test_a_device_state_and_the_packet_behind_it_come_in_any_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, most: str
) -> None:
    """1068 bytes are what a RAM packet's header has more than a device's."""
    assert header_size(4096) - DEVICE_STATE_LAYOUT.size == 1068
    chance, receive = random.Random(size), Plain.receive

    def pieces(self: Plain, view: memoryview, least: int | None = None, **told: bool) -> int:
        if least is None:
            return receive(self, view, **told)
        counts = range(least, len(view) + 1)
        count = {"least": counts[0], "whole": counts[-1], "any": chance.choice(counts)}[most]
        return receive(self, view[:count], least, **told)

    monkeypatch.setattr(Plain, "receive", pieces)
    stage, script = Stage(tmp_path, method="zstd"), with_devices_before_pages(size)
    with RelayThread(stage.settings) as relay:
        destination = stage.carry(relay, script)
        counters = relay.finished().counters
    for channel in range(2):
        assert destination.device_states[channel] == device_content(channel, size)
    assert counters.bytes_in == sum(len(script.stream(id)) for id in (MAIN, 0, 1))


@pytest.mark.parametrize("method", METHODS)
def test_where_the_method_stays_the_checked_bytes_go_out_as_they_came(
    tmp_path: Path, method: str
) -> None:
    script = Script(Guest(method=method, channels=1))
    stage = Stage(tmp_path, method=method)
    with RelayThread(stage.settings) as relay:
        destination = stage.carry(relay, script)
    sent = [step.data for step in script.steps if isinstance(step, Step) and step.what == "payload"]
    assert destination.payloads == sent


def test_every_channel_gets_the_uuid_that_the_destination_expects(tmp_path: Path) -> None:
    script = Script(Guest(channels=3, uuid=bytes(range(16))))
    stage = Stage(tmp_path)
    stage.change(uuid=bytes(range(16, 32)))
    with RelayThread(stage.settings) as relay:
        destination = stage.carry(relay, script)
        relay.finished()
    assert destination.uuids == {bytes(range(16, 32))}


@pytest.mark.parametrize("mode", ["section", "round"])
def test_main_the_return_path_and_the_uuid_pass_as_they_are(tmp_path: Path, mode: Mode) -> None:
    script = Script(Guest(mode=mode, uuid=bytes(range(16)), rounds=2))
    stage = Stage(tmp_path)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest) as destination,
        stage.source(relay, script) as source,
    ):
        result = relay.finished()
        until(source.ended.is_set, NOTICE)
    stream = script.stream(MAIN)
    assert destination.main_stream == stream
    assert source.answer == pong(0) + pong(1) + pong(2) + shut(0)
    assert destination.uuids == {bytes(range(16))}
    assert result.counters.rounds == 3
    main = next(one for one in result.counters.channels if one.name == "main")
    assert (main.bytes_in, main.bytes_out, main.syncs) == (len(stream), len(stream), 3)
    assert result.counters.bytes_in == sum(len(script.stream(id)) for id in (MAIN, 0, 1))


def test_main_in_pieces_of_one_byte(tmp_path: Path) -> None:
    script = Script(Guest(mode="section"))
    pieces: list[Action] = []
    for step in script.steps:
        if isinstance(step, Step) and step.where == MAIN and step.what != "tail":
            pieces += [Step(MAIN, step.data[at : at + 1]) for at in range(len(step.data))]
        else:
            pieces.append(step)
    script.steps = pieces
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)


@pytest.mark.parametrize("order", ["multifd first", "id 1 first", "main last"])
def test_any_order_of_connections(tmp_path: Path, order: str) -> None:
    script = Script(Guest())
    main, *channels = script.steps[:3]
    if order == "main last":
        script.steps[:3] = [*channels, main]
    elif order == "id 1 first":
        script.steps[:3] = [main, *reversed(channels)]
    else:
        # as 10.x: main is connected first, and speaks when the channels are there
        script.steps[:3] = [Step(MAIN), *channels, main]
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)


def test_over_tcp(tmp_path: Path) -> None:
    script = Script(Guest(channels=4))
    stage = Stage(tmp_path, method="zstd")
    stage.over_tcp()
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)


@pytest.mark.parametrize("method", METHODS)
def test_two_relays_in_a_row(tmp_path: Path, method: str) -> None:
    """none → method → none, as around a thin link."""
    script = Script(Guest(method="none", zeros=1))
    far = Stage(tmp_path, method="none")
    with RelayThread(far.settings) as second:
        near = replace(
            far.settings,
            listen=UnixAddress(str(tmp_path / "near")),
            connect=second.address,
            method=method,
        )
        with RelayThread(near) as first:
            destination = far.carry(first, script)
            assert second.finished().method_in == method
    assert destination.methods == {"none"}


def test_one_relay_carries_many_migrations(tmp_path: Path) -> None:
    stage = Stage(tmp_path, method="qatzip")
    with RelayThread(stage.settings) as relay:
        for nth in range(1, 6):
            stage.carry(relay, Script(Guest(seed=nth, method="zlib" if nth % 2 else "none")), nth)


def test_once_carries_one_and_ends(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings, once=True) as relay:
        stage.carry(relay, Script(Guest()))
        relay.ends()
        assert relay.result is not None
        assert relay.result.completed


def test_devices_that_cannot_be_parsed_stand_before_ram(tmp_path: Path) -> None:
    """As 11.1's virtio-mem: copied up to its footer; the marks behind it are held all the same."""
    script = Script(Guest(early=device(1, b"0000:00:03.0/virtio-mem-device-early", 40)))
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)
        assert relay.finished().gated
        assert any("virtio-mem-device-early" in note for note in relay.seen.notes)


@pytest.mark.parametrize("mode", ["section", "round"])
def test_a_mark_waits_until_every_sync_was_read(tmp_path: Path, mode: Mode) -> None:
    """The last channel's SYNC lies unread in the destination's socket: main must stand still."""
    script = Script(Guest(mode=mode, channels=3))
    stage = Stage(tmp_path)
    reads, reached = threading.Event(), threading.Event()
    rounds: list[int] = []

    def hesitate(channel: int, index: int) -> None:
        if channel == 2 and index == 2:
            reached.set()
            assert reads.wait(SETTLE)

    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest, Habits(before_sync=hesitate)) as destination,
        stage.source(relay, script),
    ):
        assert reached.wait(SETTLE)
        until(lambda: all(one.syncs == 3 for one in relay.session.tally.channels[1:]))
        # every channel sent its third SYNC on; for as long as one is unread, nothing passes
        threading.Event().wait(0.1)
        rounds.append(relay.session.gate.passed)
        assert destination.marks == [0, 1]
        reads.set()
        assert relay.finished().completed
    assert rounds == [2]
    assert destination.marks == [0, 1, 2, 3]
    assert destination.memory == script.memory


def test_progress_grows_and_ends_at_the_result(tmp_path: Path) -> None:
    script = Script(Guest(method="none", pages=30))
    stage = Stage(tmp_path, method="zstd", max_bandwidth=1e6)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)
        result = relay.finished()
        snapshots = relay.seen.snapshots
    assert snapshots[-1] == result.counters
    assert len(snapshots) > 1
    sent = [one.bytes_out for one in snapshots]
    assert sent == sorted(sent)
    assert result.counters.normal_bytes == 2 * 3 * 2 * 30 * 4096
    assert result.counters.normal_pages == 2 * 3 * 2 * 30
    # the cap holds but for what the last slots let start at once
    slack = 1e6 * (Pacer.BURST + 0.05) + 130_000
    assert result.counters.bytes_out <= 1e6 * result.counters.seconds + slack


@pytest.mark.parametrize(("method_in", "method_out"), [("zlib", "zstd"), ("none", "none")])
def test_of_what_was_sent_nothing_is_held(tmp_path: Path, method_in: str, method_out: str) -> None:
    """What an outbox holds keeps channels from reading on."""
    script = Script(Guest(method=method_in, zeros=2))
    stage = Stage(tmp_path, method=method_out)
    seen: list[Outbox] = []
    with RelayThread(stage.settings) as relay:

        def look() -> None:
            relay.gathered()
            seen.append(relay.session.behind.outbox)

        script.insert(script.find("end", MAIN), Do(look))
        stage.carry(relay, script)
    (outbox,) = seen
    assert (outbox.held, outbox.unsent, outbox.at_work, len(outbox.queue)) == (0, 0, 0, 0)


def test_room_for_one_packet_is_not_taken_by_one_that_waits_for_its_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark waits for channels that have packets to send before their SYNC."""
    monkeypatch.setattr(budget, "outbox", lambda _rate: 0.0)
    script = Script(Guest(method="none", channels=8, rounds=40, packets=2, pages=2))
    stage = Stage(tmp_path, method="zstd", max_bandwidth=1e9)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)
        assert relay.finished().completed
