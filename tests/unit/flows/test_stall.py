"""Stalls: who waits for what, for how long, and in which phase nobody is given up."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from fakes_clock import Clock
from ramferry.errors import PeerUnreachable
from ramferry.flows.outlet import outlet as outlet_module
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.session import stall
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.session.stall import StallWatch
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import UnixAddress
from ramferry.transport.plain import Plain


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stall, "time", clock)
    return clock


class Watched:
    def __init__(self, channels: int | None = None) -> None:
        self.notes: list[str] = []
        settings = RelaySettings(
            UnixAddress("in"), UnixAddress("out"), "zlib", channels=channels, stall_timeout=60
        )
        self.session = Session(settings, self.notes.append)
        self.outlet = self.session.behind = Outlet(self.session, settings)
        self.tally = self.session.tally.channel("main")
        self.watch = StallWatch(self.session)
        self.waiter: threading.Thread | None = None

    def look_for(self, clock: Clock, seconds: float) -> None:
        """Let time pass, with a look now and then, as the loop does."""
        for _ in range(round(seconds * 4)):
            clock.now += 0.25
            self.watch.look()

    def hold(self) -> None:
        """Main stands before a mark that waits for channel 0."""
        self.session.gate.expect([0])

        def wait() -> None:
            with contextlib.suppress(Unwind):
                self.session.gate.hold(0)

        self.waiter = threading.Thread(target=wait)
        self.waiter.start()
        while not self.session.gate.waiting:
            time.sleep(0.001)

    def close(self) -> None:
        self.session.gate.end()
        if self.waiter is not None:
            self.waiter.join(5)


@pytest.fixture
def watched(clock: Clock) -> Iterator[Watched]:
    del clock
    watched = Watched()
    yield watched
    watched.close()


def test_who_waits_too_long_is_named(clock: Clock, watched: Watched) -> None:
    watched.session.advance(Phase.CARRYING)
    watched.hold()
    watched.watch.look()
    watched.look_for(clock, 60)
    assert watched.session.error is None
    watched.look_for(clock, 0.5)
    assert str(watched.session.error) == (
        "nothing moved for 60 s: sync mark 0 waits for the SYNC of multifd 0"
    )


def test_a_destination_that_leaves_bytes_untaken_is_named_before_the_source(
    clock: Clock, watched: Watched
) -> None:
    """The SYNC that main waits for stands behind bytes that nobody takes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watched.outlet.adopt(Plain(ours))
        ours.send(b"x")
        watched.session.advance(Phase.CARRYING)
        watched.hold()
        watched.watch.look()
        watched.look_for(clock, 61)
    said = str(watched.session.error)
    assert re.fullmatch(
        r"nothing moved for 60 s: the destination leaves \d+ bytes of a channel untaken", said
    )


def test_a_destination_that_does_not_answer_is_named_before_the_source(
    clock: Clock, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source opens its channels when its main has been taken up."""
    called, answers = threading.Event(), threading.Event()

    def connect(*_: object, **__: object) -> Plain:
        called.set()
        answers.wait(5)
        raise PeerUnreachable("too late")

    def dial() -> None:
        with contextlib.suppress(PeerUnreachable):
            watched.outlet.connect(main=True)

    monkeypatch.setattr(outlet_module, "connect", connect)
    dialling = threading.Thread(target=dial)
    dialling.start()
    assert called.wait(5)
    watched.look_for(clock, 61)
    assert str(watched.session.error) == "nothing moved for 60 s: unix:out does not answer"
    answers.set()
    dialling.join(5)
    assert not watched.outlet.waits


def test_a_byte_anywhere_begins_the_wait_anew(clock: Clock, watched: Watched) -> None:
    watched.session.advance(Phase.CARRYING)
    watched.hold()
    for _ in range(10):
        watched.look_for(clock, 50)
        watched.tally.bytes_in += 1
    assert watched.session.error is None


def test_silence_where_nobody_waits_is_no_fault(clock: Clock, watched: Watched) -> None:
    """A source that is held before its switchover may take hours."""
    watched.session.advance(Phase.CARRYING)
    watched.watch.look()
    watched.look_for(clock, 7200)
    assert watched.session.error is None


@pytest.mark.parametrize("stopped", [3, 30, 300, 100_000])
def test_time_in_which_the_relay_stood_still_is_no_silence(
    clock: Clock, watched: Watched, stopped: float
) -> None:
    """SIGSTOP, or a suspended host: nobody had a moment to send anything."""
    watched.session.advance(Phase.CARRYING)
    watched.session.blocks["pc.ram"] = 4096
    watched.session.blind_since = clock.now
    watched.hold()
    watched.look_for(clock, 0.5)
    clock.now += stopped
    watched.watch.look()
    assert watched.session.error is None
    assert watched.session.gate.gated


def test_a_main_that_trickles_its_preamble_does_not_keep_the_relay(clock: Clock) -> None:
    watched = Watched()
    for _ in range(59):
        watched.tally.bytes_in += 1
        watched.look_for(clock, 1)
    assert watched.session.error is None
    watched.tally.bytes_in += 1
    watched.look_for(clock, 2)
    assert str(watched.session.error) == "main: the source sent no whole section in 60 s"


def test_a_main_that_is_connected_onwards_may_take_its_time(clock: Clock) -> None:
    watched = Watched()
    watched.outlet.open_onward()
    for _ in range(100):
        watched.tally.bytes_in += 1
        watched.look_for(clock, 1)
    assert watched.session.error is None


@pytest.mark.parametrize(
    ("wanted", "came", "waiting"),
    [
        (None, 2, "the source has not opened all its channels"),
        (
            4,
            2,
            "the source opened 2 of 4 channels: set its multifd-channels and the number that is "
            "expected here (--channels) alike",
        ),
        (4, 4, "all 4 channels are open, and main has not come to its first sync mark"),
    ],
)
def test_a_source_that_never_opens_its_channels(
    clock: Clock, wanted: int | None, came: int, waiting: str
) -> None:
    watched = Watched(wanted)
    watched.outlet.open_onward()
    with contextlib.ExitStack() as stack:
        for _ in range(1 + came):  # main first
            ours, _ = map(stack.enter_context, socket.socketpair())
            watched.session.sources.append(Plain(ours))
        watched.watch.look()
        watched.look_for(clock, 61)
    assert str(watched.session.error) == f"nothing moved for 60 s: {waiting}"


def test_a_switchover_is_never_given_up_but_told_of_once(clock: Clock, watched: Watched) -> None:
    watched.session.advance(Phase.SWITCHOVER)
    watched.look_for(clock, 1100)
    assert watched.session.error is None
    assert len(watched.notes) == 1
    assert "the guest is paused at the source" in watched.notes[0]
    watched.tally.bytes_out += 1
    watched.look_for(clock, 33)
    assert len(watched.notes) == 2


def test_a_blind_main_opens_the_gate_when_channels_wait(clock: Clock, watched: Watched) -> None:
    watched.session.advance(Phase.CARRYING)
    watched.session.blocks["pc.ram"] = 4096
    watched.hold()
    watched.session.blind_since = clock.now
    watched.watch.look()
    watched.look_for(clock, 1.75)
    assert watched.session.gate.gated
    watched.look_for(clock, 0.75)
    assert not watched.session.gate.gated
    assert watched.notes == [
        "main: its sync marks cannot be seen, so they are not held (not gated)"
    ]
    assert watched.session.error is None


def test_a_blind_main_that_moves_keeps_the_gate(clock: Clock, watched: Watched) -> None:
    watched.session.advance(Phase.CARRYING)
    watched.session.blocks["pc.ram"] = 4096
    watched.hold()
    watched.session.blind_since = clock.now
    for _ in range(10):
        watched.look_for(clock, 1)
        watched.tally.bytes_in += 1
    assert watched.session.gate.gated
