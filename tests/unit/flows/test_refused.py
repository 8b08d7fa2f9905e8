"""What is told where a destination ends its connections: main's own word."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest

from fakes_relay import SETTLE, until
from ramferry.errors import MigrationFailed, RamferryError
from ramferry.flows.outlet import refused as refused_module
from ramferry.flows.outlet.answer import CarriedAnswer
from ramferry.flows.outlet.channel import OutletChannel
from ramferry.flows.outlet.far_ends import FarEnds
from ramferry.flows.outlet.main import RelayedMain
from ramferry.flows.outlet.outgoing import Outgoing
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.outlet.refused import WORD
from ramferry.flows.outlet.taken import until_consumed
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.settings import RelaySettings, SendSettings
from ramferry.metrics.agreement import Agreement
from ramferry.transport.address import UnixAddress
from ramferry.transport.plain import Plain
from ramferry.wire.packets import Initial
from ramferry.wire.return_path import TLS_ALERT, pong, shut

ALERT = TLS_ALERT + bytes.fromhex("0100020246")
BY_TLS = "the destination speaks TLS: connect with relay: or tls: and --tls-creds"
ENDED = "the destination closed the main channel without taking over: see its log for the cause"
FOR_EVER = 1000.0
GONE = "multifd 0: the destination closed the connection"


class Refusing(Plain):
    """Main to a destination that refuses this side's certificate, once it has been waited for."""

    def receive_some(self, view: memoryview, *, whole: bool = False) -> int | None:
        super().receive_some(view, whole=whole)
        raise OSError(errno.EPROTO, "it does not know this side")


class Passage:
    """Main, of which the way back is read, and a channel: the destination's ends are here."""

    def __init__(self) -> None:
        made = RelaySettings(UnixAddress("in"), UnixAddress("out"), "none")
        self.session = session = Session(made, lambda _: None)
        self.outlet = session.behind = Outlet(session, made)
        self.source, *self.pairs = (socket.socketpair() for _ in range(3))
        (main, self.main), (channel, self.channel) = self.pairs
        self.near = Plain(main)
        self.outlet.adopt(self.near, main=True)
        self.outlet.adopt(Plain(channel))
        session.advance(Phase.CARRYING)
        self.loop = Loop()
        self.ends = FarEnds(self.loop, session, self.outlet.lost)

    def listen(self, main: Plain | None = None) -> None:
        main = main or self.near
        main.settle(SETTLE)
        answer = CarriedAnswer(self.session, Plain(self.source[0]), main, local=True)
        self.session.start("return path", answer.run)

    def sends(self) -> None:
        """A channel's next packet is sent."""
        channel = OutletChannel(self.outlet, Initial(bytes(16), 0))
        channel.connection = self.outlet.channels[0]
        self.session.start("multifd 0", partial(channel.send, [b"packet"], 6))

    def hangs_up(self) -> None:
        """The end of a channel is seen in the loop."""
        self.ends.watch(self.outlet.channels[0], "multifd 0")
        self.loop.step(SETTLE)
        self.loop.step(SETTLE)

    def awaits(self) -> None:
        """A mark is about to be sent."""
        self.session.start("main", partial(until_consumed, self.outlet))

    def sends_main(self) -> None:
        """More of main is sent, on a connection whose other half still is read."""
        main = RelayedMain(self.outlet, Plain(self.source[0]))
        broken, there = socket.socketpair()
        there.close()
        main._destination = Plain(broken)
        main._tally = self.session.tally.channel("main")

        def run() -> None:
            with broken:
                main._send(b"more")

        self.session.start("main", run)

    def told(self) -> str:
        assert self.session.over.wait(SETTLE)
        return str(self.session.error)

    def close(self) -> None:
        self.session.fail(MigrationFailed("the test is over"))
        self.ends.close()
        self.loop.close()
        self.session.tear_down()
        self.session.close()
        for pair in (self.source, *self.pairs):
            for sock in pair:
                sock.close()


@pytest.fixture
def passage() -> Iterator[Passage]:
    made = Passage()
    yield made
    made.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused_module, "WORD", FOR_EVER)


def breaks(passage: Passage, see: Callable[[Passage], None]) -> None:
    """A channel breaks, and is seen to have broken."""
    passage.channel.close()
    see(passage)
    until(lambda: passage.session.causes.broken is not None)


def in_doubt(passage: Passage, see: Callable[[Passage], None] = Passage.hangs_up) -> None:
    """A channel breaks; the migration has not failed for it yet."""
    breaks(passage, see)
    assert not passage.session.failed


BREAKS = [Passage.sends, Passage.hangs_up, Passage.awaits, Passage.sends_main]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("see", BREAKS)
def test_an_alert_that_comes_after_the_break_is_told(
    passage: Passage, see: Callable[[Passage], None]
) -> None:
    # what the kernel of a destination has taken nobody may have read there
    passage.session.gate.passed = 2
    passage.session.tally.channel("multifd 0").packets = 17
    passage.listen()
    in_doubt(passage, see)
    passage.main.sendall(ALERT[:3])
    passage.main.sendall(ALERT[3:])
    assert passage.told() == BY_TLS


@pytest.mark.usefixtures("patient")
def test_a_refused_certificate_is_told(passage: Passage) -> None:
    passage.listen(Refusing(passage.near.detach()))
    in_doubt(passage)
    passage.main.sendall(b"-")
    assert passage.told().endswith(
        "taking over: it does not know this side; see its log for the cause"
    )


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("said", [b"", shut(1)])
@pytest.mark.parametrize("see", BREAKS)
def test_main_that_ends_without_saying_why_ends_the_wait(
    passage: Passage, see: Callable[[Passage], None], said: bytes
) -> None:
    passage.listen()
    in_doubt(passage, see)
    broken = passage.session.causes.broken
    passage.main.sendall(said)
    passage.main.close()
    assert passage.told() == str(broken)


@pytest.mark.parametrize("see", BREAKS)
def test_a_silent_main_is_waited_for_a_moment_only(
    passage: Passage, see: Callable[[Passage], None]
) -> None:
    assert WORD <= 0.3
    passage.listen()
    breaks(passage, see)
    broken = passage.session.causes.broken
    assert passage.told() == str(broken)


@pytest.mark.usefixtures("patient")
def test_whatever_else_fails_meanwhile_the_break_was_first(passage: Passage) -> None:
    passage.listen()
    in_doubt(passage)
    passage.session.fail(MigrationFailed("main: the source broke the connection"))
    assert passage.told() == GONE


@pytest.mark.usefixtures("patient")
def test_nothing_is_switched_over_meanwhile(passage: Passage) -> None:
    passage.listen()
    in_doubt(passage)
    assert not passage.session.advance(Phase.SWITCHOVER)
    assert not passage.session.switched
    assert passage.told() == GONE


def _answered(session: Session) -> None:
    session.causes.answered = True


def _ramferry(session: Session) -> None:
    session.agreed_out = Agreement("0", 1, "", "64K", method_per_packet=True, answers=True)


def _blind(session: Session) -> None:
    session.blind_since = time.monotonic()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("state", [_answered, _ramferry, _blind])
@pytest.mark.parametrize("see", BREAKS)
def test_nobody_waits_where_main_would_not_say_why(
    passage: Passage, see: Callable[[Passage], None], state: Callable[[Session], None]
) -> None:
    state(passage.session)
    passage.listen()
    passage.channel.close()
    see(passage)
    assert "broke" in passage.told() or passage.told() == GONE


@pytest.mark.usefixtures("patient")
def test_a_destination_that_has_answered_once_says_no_more(passage: Passage) -> None:
    passage.listen()
    passage.main.sendall(pong(1))
    until(lambda: passage.session.causes.answered)
    passage.channel.close()
    passage.hangs_up()
    assert passage.told() == GONE


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("where", ["main", "multifd"])
def test_who_begins_a_migration_hears_the_alert_too(where: str) -> None:
    outgoing = Outgoing(SendSettings(UnixAddress("/nowhere/x"), "none", channels=1))
    here, there = socket.socketpair()
    broken, gone = socket.socketpair()
    gone.close()
    errors: list[RamferryError] = []

    def run() -> None:
        try:
            outgoing.main(b"more") if where == "main" else outgoing.sync(b"mark")
        except RamferryError as error:
            errors.append(error)

    main = Plain(here)
    main.settle(SETTLE)
    with there, broken, outgoing, suppress(OSError):
        outgoing.take_main(main)
        outgoing._channels[0]._out.connection = Plain(broken)
        if where == "main":
            outgoing._main = Plain(broken)
        outgoing.session.start("test", run)
        until(lambda: outgoing.session.causes.broken is not None)
        assert outgoing.error is None
        there.sendall(ALERT)
        until(lambda: bool(errors))
        assert str(errors[0]) == str(outgoing.error) == BY_TLS
