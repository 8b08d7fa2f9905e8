"""A session: what may still fail in which phase, how threads end it, and in which order."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes_clock import Clock
from ramferry.codec import create_decoder, create_encoder
from ramferry.errors import (
    Cancelled,
    HostError,
    MigrationFailed,
    PeerTimeout,
    RamferryError,
    RemoteProtocolError,
)
from ramferry.flows.inlet.channel import ChannelInlet
from ramferry.flows.outlet import outlet as outlet_module
from ramferry.flows.outlet import taken as taken_module
from ramferry.flows.outlet.channel import RelayedChannel
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.outlet.taken import until_consumed
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.settings import RelaySettings
from ramferry.metrics.agreement import Agreement
from ramferry.transport.address import UnixAddress
from ramferry.transport.plain import Plain
from ramferry.wire.packets import Initial
from raw_sockets import raw

SETTLE = 5.0


class Fixture:
    def __init__(self, **settings: float) -> None:
        self.notes: list[str] = []
        self.woken = 0
        made = RelaySettings(UnixAddress("in"), UnixAddress("out"), "zlib", **settings)  # type: ignore[arg-type]
        self.session = Session(made, self.notes.append, self._wake)
        self.outlet = self.session.behind = Outlet(self.session, made)

    def adopt(self, near: socket.socket, *, main: bool = False) -> None:
        self.outlet.adopt(Plain(near), main=main)

    def _wake(self) -> None:
        self.woken += 1


@pytest.fixture
def made() -> Fixture:
    return Fixture()


@pytest.mark.parametrize("phase", [Phase.GATHERING, Phase.CARRYING])
def test_before_the_switchover_any_fault_ends_it(made: Fixture, phase: Phase) -> None:
    session = made.session
    assert session.advance(phase)
    error = MigrationFailed("a channel broke")
    session.fail(error)
    assert session.error is error
    assert session.phase is Phase.FAILED
    assert made.woken == 1
    for event in (session.gathered, session.over):
        assert event.is_set()
    assert made.outlet.may_follow(0)
    with pytest.raises(Unwind):
        session.check()
    with pytest.raises(Unwind):
        session.gate.hold(0)
    with pytest.raises(Unwind):
        made.outlet.outbox.slot().admit(1)


def test_the_first_fault_is_the_cause(made: Fixture) -> None:
    made.session.fail(MigrationFailed("first"))
    made.session.fail(MigrationFailed("second"), final=True)
    assert str(made.session.error) == "first"
    assert made.woken == 1


def test_who_sees_that_it_has_failed_finds_the_error(made: Fixture) -> None:
    """Also without the lock: a sender raises the error once a thread of it was unwound."""
    seen: list[object] = []

    class Seen(Session):
        def __setattr__(self, name: str, value: object) -> None:
            if value is Phase.FAILED:
                seen.append(self.error)
            super().__setattr__(name, value)

    session = Seen(made.session.settings, made.notes.append)
    session.behind = made.outlet
    error = MigrationFailed("first")
    session.fail(error)
    assert seen == [error]


def test_in_the_switchover_a_fault_is_left_to_the_destination(made: Fixture) -> None:
    session = made.session
    assert session.advance(Phase.SWITCHOVER)
    session.fail(MigrationFailed("the source broke"))
    assert session.phase is Phase.SWITCHOVER
    assert made.notes == ["in the switchover, left to the destination to judge: the source broke"]
    session.check()
    session.fail(MigrationFailed("the destination closed main"), final=True)
    assert session.phase is Phase.FAILED


@pytest.mark.parametrize(
    ("end", "sentence", "code"),
    [
        (
            MigrationFailed("the destination closed main"),
            "multifd 0: expected a, received b; the destination closed main",
            7,
        ),
        # whoever ended it, or does not know how it ended, says so
        (PeerTimeout("nobody says"), "nobody says", 9),
        (Cancelled("so it is"), "so it is", 6),
    ],
)
@pytest.mark.parametrize("side", ["agreed_in", "agreed_out"])
def test_what_was_damaged_in_the_switchover_is_why_the_destination_did_not_start(
    made: Fixture, side: str, end: RamferryError, sentence: str, code: int
) -> None:
    session = made.session
    agreed = Agreement("0", 1, "", "64K", method_per_packet=True, answers=True)
    setattr(session, side, agreed)
    session.advance(Phase.SWITCHOVER)
    session.fail(RemoteProtocolError("a", "b", channel="multifd 0"))
    session.fail(RemoteProtocolError("c", "d", channel="multifd 1"))
    assert session.error is None
    session.fail(end, final=True)
    assert session.error is not None
    assert (str(session.error), session.error.exit_code) == (sentence, code)


def test_once_confirmed_nothing_undoes_it(made: Fixture) -> None:
    session = made.session
    session.advance(Phase.CONFIRMED)
    session.fail(MigrationFailed("too late"), final=True)
    assert session.phase is Phase.CONFIRMED
    assert session.error is None
    assert not session.over.is_set()


def test_a_phase_never_goes_back_and_a_failed_one_not_on(made: Fixture) -> None:
    session = made.session
    session.advance(Phase.SWITCHOVER)
    assert session.advance(Phase.CARRYING)
    assert session.phase is Phase.SWITCHOVER
    failed = Fixture().session
    failed.fail(MigrationFailed("over"))
    assert not failed.advance(Phase.SWITCHOVER)
    assert not failed.advance(Phase.CONFIRMED)
    assert failed.phase is Phase.FAILED


@pytest.mark.parametrize(
    ("raised", "error", "code"),
    [
        (Unwind(), None, 0),
        (PeerTimeout("silent"), "silent", 9),
        (ValueError("odd"), r"internal error in worker: ValueError\('odd'\)", 1),
    ],
)
def test_a_threads_error_ends_the_migration(
    made: Fixture, raised: Exception, error: str | None, code: int
) -> None:
    session = made.session
    said: list[str] = []

    def run() -> None:
        raise raised

    session.start("worker", run, lambda: said.append("farewell"))
    session.close(SETTLE)
    assert not session.running()
    if error is None:
        assert session.error is None
        assert said == ["farewell"]
    else:
        with pytest.raises(RamferryError, match=error) as caught:
            raise session.error  # type: ignore[misc]
        assert caught.value.exit_code == code
        assert said == []


def test_in_the_switchover_a_thread_that_broke_says_farewell(made: Fixture) -> None:
    session = made.session
    session.advance(Phase.SWITCHOVER)
    order: list[str] = []
    session.note = order.append

    def run() -> None:
        raise PeerTimeout("the source went silent")

    session.start("main", run, lambda: order.append("farewell"))
    session.close(SETTLE)
    assert [one.rpartition(": ")[2] for one in order] == ["the source went silent", "farewell"]


def test_methods_must_agree_and_backends_are_named(made: Fixture) -> None:
    session = made.session
    session.note_codecs("zstd", create_decoder("zstd"), create_encoder("zlib", None))
    assert (session.method_in, session.engines.backend) == ("zstd", "zstd → isa-l")
    session.note_codecs("zstd", create_decoder("zstd"), None)
    with pytest.raises(RemoteProtocolError, match="method zstd on every channel, received none"):
        session.note_codecs("none", create_decoder("none"), None)


@pytest.mark.parametrize(
    ("method", "encoder", "backend"),
    [("none", None, "none"), ("none", "zstd", "zstd"), ("zlib", "zlib", "isa-l")],
)
def test_a_backend_is_named_once(
    made: Fixture, method: str, encoder: str | None, backend: str
) -> None:
    made.session.note_codecs(
        method, create_decoder(method), create_encoder(encoder, None) if encoder else None
    )
    assert made.session.engines.backend == backend


def test_a_connection_that_is_made_too_late_is_closed(made: Fixture) -> None:
    near, far = socket.socketpair()
    with far:
        made.session.fail(MigrationFailed("over"))
        with pytest.raises(Unwind):
            made.adopt(near)
        assert near.fileno() == -1
        assert made.outlet.channels == []
        assert far.recv(1) == b""


@pytest.mark.parametrize("main", [False, True])
def test_a_connection_made_while_all_are_ended_is_ended_too(
    monkeypatch: pytest.MonkeyPatch, made: Fixture, main: bool
) -> None:
    ends = threading.Thread(target=made.outlet.tear_down)

    def not_yet(_: Session) -> bool:
        ends.start()
        ends.join(0.05)
        return False

    monkeypatch.setattr(Session, "failed", property(not_yet))
    near, far = socket.socketpair()
    with near, far:
        made.adopt(near, main=main)
        ends.join(SETTLE)
        far.settimeout(SETTLE)
        assert far.recv(1) == b""


def test_the_destinations_main_ends_first_and_the_source_last(
    made: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = made.session
    pairs = [socket.socketpair() for _ in range(5)]
    names = {
        pairs[0][0]: "destination main",
        pairs[1][0]: "destination 0",
        pairs[2][0]: "destination 1",
        pairs[3][0]: "source main",
        pairs[4][0]: "source 0",
    }
    made.adopt(pairs[1][0])
    made.adopt(pairs[2][0])
    made.adopt(pairs[0][0], main=True)
    session.sources += [Plain(pairs[3][0]), Plain(pairs[4][0])]
    order: list[str] = []
    for name in ("cut", "reset"):
        end: Callable[[Plain], None] = getattr(Plain, name)

        def recorded(one: Plain, name: str = name, end: Callable[[Plain], None] = end) -> None:
            order.append(f"{name} {names[raw(one)]}")
            end(one)

        monkeypatch.setattr(Plain, name, recorded)
    session.fail(MigrationFailed("over"))
    session.tear_down()
    assert order == [
        "cut destination main",
        "cut destination 0",
        "cut destination 1",
        "reset source main",
        "reset source 0",
    ]
    for near, far in pairs:
        assert far.recv(1) == b""
        near.close()
        far.close()


def test_consumption_is_waited_for_on_every_channel(made: Fixture) -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    for near, _ in pairs:
        made.adopt(near)
        near.sendall(b"SYNC")
    waiter = threading.Thread(target=until_consumed, args=(made.outlet,))
    waiter.start()
    for _, far in pairs:
        assert waiter.is_alive()
        assert far.recv(10) == b"SYNC"
    waiter.join(SETTLE)
    assert not waiter.is_alive()
    for sock in (sock for both in pairs for sock in both):
        sock.close()


def test_a_closed_channel_proves_nothing(made: Fixture) -> None:
    near, far = socket.socketpair()
    with near:
        made.adopt(near)
        far.close()
        with pytest.raises(MigrationFailed, match="a multifd channel broke at the destination"):
            until_consumed(made.outlet)


def test_what_is_left_untaken_is_a_timeout() -> None:
    made = Fixture(stall_timeout=0.05)
    near, far = socket.socketpair()
    with near, far:
        made.adopt(near)
        near.sendall(b"x")
        with pytest.raises(PeerTimeout, match=r"the destination leaves \d+ bytes of a channel"):
            until_consumed(made.outlet)


def test_a_failure_ends_the_wait_for_consumption(made: Fixture) -> None:
    near, far = socket.socketpair()
    unwound = threading.Event()

    def wait() -> None:
        try:
            until_consumed(made.outlet)
        except Unwind:
            unwound.set()

    with near, far:
        made.adopt(near)
        near.sendall(b"x")
        waiter = threading.Thread(target=wait)
        waiter.start()
        made.session.fail(MigrationFailed("over"))
        assert unwound.wait(SETTLE)
        waiter.join()


def test_a_device_that_is_copied_is_told_before_the_switchover_only(made: Fixture) -> None:
    session = made.session
    assert session.sighted
    session.lost_sight("odd", "unknown")
    assert not session.sighted
    session.regained_sight()
    assert session.sighted
    session.advance(Phase.SWITCHOVER)
    session.lost_sight("even", "unknown")
    assert session.sighted
    assert made.notes == ["main: device 'odd' is copied, not parsed (unknown)"]


# --- what nobody may wait for


def test_a_note_is_made_without_the_lock(made: Fixture) -> None:
    """A terminal that takes nothing must not keep the destination's answer from going on."""
    session = made.session
    advanced: list[bool] = []

    def note(_: str) -> None:
        other = threading.Thread(target=session.advance, args=(Phase.CONFIRMED,))
        other.start()
        other.join(SETTLE)
        advanced.append(not other.is_alive())

    session.note = note
    session.advance(Phase.SWITCHOVER)
    session.fail(MigrationFailed("the source broke"))
    assert advanced == [True]
    assert session.phase is Phase.CONFIRMED


def untaken(monkeypatch: pytest.MonkeyPatch, made: Fixture, *left: int) -> None:
    """A destination that leaves so many bytes, look after look."""
    looks = iter(left)
    monkeypatch.setattr(Plain, "unsent", lambda _: next(looks))
    near, far = socket.socketpair()
    with near, far:
        made.adopt(near)
        until_consumed(made.outlet)


def test_a_destination_that_takes_nothing_is_given_up(
    made: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taken_module, "time", Clock(*[0.5] * 200))
    with pytest.raises(PeerTimeout, match="leaves 7 bytes of a channel untaken"):
        untaken(monkeypatch, made, *[7] * 200)


@pytest.mark.parametrize("stopped", [3, 30, 300])
def test_a_relay_that_stood_still_blames_no_destination(
    made: Fixture, monkeypatch: pytest.MonkeyPatch, stopped: float
) -> None:
    monkeypatch.setattr(taken_module, "time", Clock(0.5, stopped, 0.5))
    untaken(monkeypatch, made, 7, 7, 7, 0)


@pytest.mark.parametrize("phase", [Phase.CARRYING, Phase.SWITCHOVER, Phase.SEALED])
def test_what_ends_before_it_is_confirmed_has_failed(made: Fixture, phase: Phase) -> None:
    """Also in the phases in which other faults are left to others to judge."""
    made.session.advance(phase)
    assert not made.session.end()
    assert made.session.phase is Phase.FAILED
    assert str(made.session.error) == "every connection ended early"
    assert made.notes == []


def relayed(outlet: Outlet, source: Plain) -> tuple[ChannelInlet, RelayedChannel]:
    initial = Initial(bytes(16), 0)
    taker = RelayedChannel(outlet, source, initial, lambda *_: None)
    return ChannelInlet(outlet.session, source, initial, taker), taker


def unconnected(folder: Path) -> Session:
    """A migration that has come to its switchover while a channel is still being connected."""
    nobody = UnixAddress(str(folder / "nobody"))
    settings = RelaySettings(UnixAddress("in"), nobody, "zlib")
    session = Session(settings, lambda _: None)
    outlet = session.behind = Outlet(session, settings)
    near, far = socket.socketpair()
    with near, far:
        outlet.open_onward()
        session.advance(Phase.SWITCHOVER)
        channel, taker = relayed(outlet, Plain(near))
        session.start(channel.name, channel.run, taker.farewell)
        assert session.over.wait(SETTLE)
        session.close()
    assert session.phase is Phase.FAILED
    return session


def test_a_channel_without_a_destination_ends_a_switchover_too(tmp_path: Path) -> None:
    """Where marks are not held, main may be there while a channel is still being connected."""
    assert "nobody accepts at" in str(unconnected(tmp_path).error)


def test_a_channel_without_a_descriptor_ends_a_switchover_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object, **__: object) -> Plain:
        raise HostError("cannot connect: Too many open files")

    monkeypatch.setattr(outlet_module, "connect", connect)
    assert str(unconnected(tmp_path).error) == "cannot connect: Too many open files"


def test_a_channel_that_was_never_connected_has_no_farewell_to_say(made: Fixture) -> None:
    near, far = socket.socketpair()
    with near, far:
        relayed(made.outlet, Plain(near))[1].farewell()


@pytest.mark.parametrize("ends_here", [True, False])
def test_where_a_sink_takes_the_guest_a_failure_is_certain(made: Fixture, ends_here: bool) -> None:
    session = made.session
    session.ends_here = ends_here
    session.fail(MigrationFailed("a channel broke"))
    assert session.taken is (False if ends_here else None)


def test_an_error_that_depends_on_the_phase_is_made_where_that_stays(made: Fixture) -> None:
    session = made.session
    session.advance(Phase.SWITCHOVER)

    def make() -> RamferryError:
        assert session._lock.locked()
        return Cancelled(session.phase.name)

    session.fail(make, final=True)
    assert str(session.error) == "SWITCHOVER"
