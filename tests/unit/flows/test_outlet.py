"""An outlet and its channels: when they connect, what they say there, and how they end it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import cast

import pytest

from ramferry.errors import MigrationFailed
from ramferry.flows.outlet import outlet as outlet_module
from ramferry.flows.outlet import taken as taken_module
from ramferry.flows.outlet.answer import CarriedAnswer
from ramferry.flows.outlet.channel import OutletChannel, RelayedChannel
from ramferry.flows.outlet.far_ends import FarEnds
from ramferry.flows.outlet.main import RelayedMain
from ramferry.flows.outlet.outbox import WORKERS
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.outlet.taken import taken_on_main
from ramferry.flows.peer.far import Far
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.settings import RelaySettings
from ramferry.transport import budget
from ramferry.transport.address import UnixAddress
from ramferry.transport.plain import Plain
from ramferry.vocabulary import Buffer
from ramferry.wire.events import RamEnd
from ramferry.wire.main import MainParser
from ramferry.wire.packets import Initial
from ramferry.wire.return_path import shut


class Noted(Plain):
    """A connection that notes what is done to it."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.done: list[str] = []

    def set_buffers(self, *, send: int | None = None, receive: int | None = None) -> None:
        self.done.append(f"buffers {send} {receive}")

    def send(self, parts: list[Buffer]) -> int:
        self.done.append("send")
        return super().send(parts)

    def cut(self) -> None:
        self.done.append("cut")

    def reset(self) -> None:
        self.done.append("reset")


class Place:
    """A destination of which one end is here, and a migration towards it."""

    def __init__(self) -> None:
        self.settings = made = RelaySettings(UnixAddress("in"), UnixAddress("out"), "none")
        self.session = Session(made, lambda _: None)
        self.outlet = self.session.behind = Outlet(self.session, made)
        near, self.far = socket.socketpair()
        self.near = Noted(near)
        self.asked = 0

    def connect(self, *_: object, **__: object) -> Plain:
        self.asked += 1
        return self.near

    def relayed(self) -> RelayedChannel:
        source = Plain(self.far)  # never read
        return RelayedChannel(self.outlet, source, Initial(bytes(16), 0), lambda *_: None)

    def close(self) -> None:
        self.near.close()
        self.far.close()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    made = Place()
    monkeypatch.setattr(outlet_module, "connect", made.connect)
    yield made
    made.close()


def test_what_lies_in_a_new_connection_is_bounded(place: Place) -> None:
    place.outlet.connect()
    assert place.near.done == [f"buffers {budget.INITIAL} None"]


@pytest.mark.parametrize("phase", [Phase.CARRYING, Phase.SWITCHOVER])
def test_behind_rams_end_main_is_reset_so_that_no_rest_of_it_arrives(
    place: Place, phase: Phase
) -> None:
    place.outlet.connect(main=True)
    place.session.advance(phase)
    place.session.fail(MigrationFailed("over"), final=True)
    place.outlet.tear_down()
    assert place.near.done[1:] == ["reset" if phase is Phase.SWITCHOVER else "cut"]


def test_a_migration_that_failed_disturbs_no_destination(place: Place) -> None:
    """A connection that closes at once ends a QEMU that waits for its guest."""
    place.session.fail(MigrationFailed("over"))
    with pytest.raises(Unwind):
        place.relayed().begin()
    assert place.asked == 0


def test_one_that_fails_while_it_connects_says_nothing_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = Noted.settle

    def settle(self: Noted, stall_timeout: float, *, piece: float | None = None) -> None:
        place.session.fail(MigrationFailed("over"))
        settled(self, stall_timeout, piece=piece)

    monkeypatch.setattr(Noted, "settle", settle)
    place.outlet.open_onward()
    with pytest.raises(Unwind):
        place.relayed().begin()
    assert "send" not in place.near.done


def test_a_packet_whose_slot_comes_too_late_is_not_sent(place: Place) -> None:
    channel = OutletChannel(place.outlet, Initial(bytes(16), 0))
    channel.connection = place.near
    place.outlet.set_bandwidth(1e9)
    place.session.fail(MigrationFailed("over"))
    with pytest.raises(Unwind):
        channel.send([b"packet"], 6)
    assert place.near.done == []
    assert channel.tally.bytes_out == 0


def test_the_end_frees_who_waits_for_a_slot(place: Place) -> None:
    channel = OutletChannel(place.outlet, Initial(bytes(16), 0))
    channel.connection = place.near
    place.outlet.set_bandwidth(1.0)
    place.outlet.pacer.charge(1000)
    place.session.start("paced", lambda: channel.send([b"packet"], 6))
    place.session.fail(MigrationFailed("over"))
    place.session.close(5.0)
    assert not place.session.running()
    assert place.near.done == []


@pytest.mark.parametrize(("method", "workers"), [("none", 1), ("zlib", WORKERS)])
def test_one_packet_at_work_is_enough_where_nothing_is_compressed(
    place: Place, method: str, workers: int
) -> None:
    """Codecs that are slower than the link would leave cores idle; ``none`` has no codec."""
    place.outlet.settings = replace(place.settings, method=method)
    channel = place.relayed()
    assert channel.choose(method) is None
    assert channel._slot.workers == workers


@pytest.mark.parametrize("left", [0, 7])
def test_what_a_far_peer_has_not_acknowledged_can_still_be_kept_from_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    monkeypatch.setattr(taken_module, "_ACKNOWLEDGE", 0.01)
    monkeypatch.setattr(Noted, "unsent", lambda _: left)
    place.near.windowed = True
    place.outlet.adopt(place.near, main=True)
    assert taken_on_main(place.outlet) is not bool(left)


# --- a source that breaks main in the switchover


@pytest.fixture
def main(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[RelayedMain]:
    """A main channel on its way over a network."""
    monkeypatch.setattr(taken_module, "_ACKNOWLEDGE", 0.01)
    made = RelayedMain(place.outlet, Plain(place.far))
    made.begin(place.session.tally.channel("main"), MainParser())
    place.near.windowed = True
    yield made
    place.far.shutdown(socket.SHUT_RDWR)
    place.session.close()


@pytest.mark.parametrize(
    ("phase", "left", "done"),
    [(Phase.CARRYING, 7, []), (Phase.SWITCHOVER, 0, []), (Phase.SWITCHOVER, 7, ["reset"])],
)
def test_what_main_has_not_taken_is_withdrawn_where_its_source_broke_it(
    place: Place,
    main: RelayedMain,
    monkeypatch: pytest.MonkeyPatch,
    phase: Phase,
    left: int,
    done: list[str],
) -> None:
    """Behind ram's END it would start the guest, which then runs at the source, too."""
    monkeypatch.setattr(Noted, "unsent", lambda _: left)
    place.session.advance(phase)
    with suppress(Unwind):
        main.source_broke()
    assert place.near.done[1:] == done
    assert place.session.failed is bool(done)


def test_once_the_destination_took_over_nothing_is_withdrawn(
    place: Place, main: RelayedMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Noted, "unsent", lambda _: 7)
    place.session.advance(Phase.CONFIRMED)
    main.source_ended()
    assert place.near.done[1:] == []


def test_rams_end_does_not_go_on_where_the_migration_has_failed(
    place: Place, main: RelayedMain
) -> None:
    """Its connections may live for another moment, in which the destination would start."""
    place.session.fail(MigrationFailed("over"))
    data = memoryview(b"section")
    main.open_piece(data, [])
    with pytest.raises(Unwind):
        main.hear(RamEnd(0, len(data)))
    assert "send" not in place.near.done


@pytest.mark.parametrize("seen", [True, False])
def test_an_answer_before_rams_end_is_one_only_where_that_could_not_be_seen(
    place: Place, seen: bool
) -> None:
    near, source = socket.socketpair()
    if not seen:
        place.session.lost_sight("odd", "no length")
    answer = CarriedAnswer(place.session, Plain(near), place.near, local=True)
    place.far.sendall(shut(0))
    place.far.shutdown(socket.SHUT_RDWR)
    with near, source, suppress(Unwind):
        answer.run()
    assert place.session.phase is (Phase.FAILED if seen else Phase.CONFIRMED)


# --- the destination's ends of the channels


@pytest.mark.parametrize(
    ("phase", "gated", "fails"),
    [
        (Phase.CARRYING, True, True),
        (Phase.CARRYING, False, False),
        (Phase.SWITCHOVER, True, False),
    ],
)
def test_a_far_end_that_goes_is_a_fault_until_rams_end(
    place: Place, phase: Phase, gated: bool, fails: bool
) -> None:
    """Where marks are not held nobody sees ram's END: it may be the normal end."""
    notes: list[str] = []
    place.session.note = notes.append
    loop = Loop()
    ends = FarEnds(loop, place.session, place.outlet.lost)
    ends.watch(place.near, "multifd 0")
    place.session.causes.answered = True  # so main's own word is not waited for
    place.session.advance(phase)
    if not gated:
        place.session.gate.open()
    place.far.shutdown(socket.SHUT_RDWR)
    for _ in range(3):
        loop.step(0.01)
    ends.close()
    loop.close()
    assert place.session.failed is fails
    assert notes == []


@pytest.mark.parametrize(
    ("packets", "marks", "told"), [(0, 0, False), (1, 1, True), (16, 0, True), (17, 1, False)]
)
def test_a_far_end_that_goes_at_the_first_packets_has_another_method_perhaps(
    place: Place, packets: int, marks: int, told: bool
) -> None:
    """libvirt sets the same method at both ends, also where relays stand between."""
    place.session.tally.channel("multifd 0").packets = packets
    place.session.gate.passed = marks
    said = str(place.outlet.lost("multifd 0", "closed the connection"))
    assert said.startswith("multifd 0: the destination closed the connection")
    assert ("if its multifd-compression is not none, set it to that" in said) is told


def test_a_ramferry_reads_every_method(place: Place) -> None:
    place.session.tally.channel("multifd 0").packets = 1
    place.outlet.far = cast("Far", object())
    assert str(place.outlet.lost("multifd 0", "went")) == "multifd 0: the destination went"
