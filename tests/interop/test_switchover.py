"""The table of docs/architecture.md: whoever ends a migration, and when, one guest is left.

A proxy before the destination holds main back at the switchover: on its way there, so that the
destination has not all of its guest, or on its way back, so that the source does not hear that the
destination has it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from guests import KINDS, beats, decided, ends, lives
from holding import Held, Holder
from migrating import MIB, run_state, until

from ramferry.bench.builtin import BuiltIn
from ramferry.bench.qemu import Qemu
from ramferry.control.migrate import watch
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.course import migrate
from ramferry.control.migrate.ending import Ending
from ramferry.control.migrate.route import RelayMode, Wish
from ramferry.errors import Cancelled, MigrationFailed, PeerTimeout, RamferryError
from ramferry.forecast.eta import MigrationSample
from ramferry.metrics import MigrationResult
from ramferry.transport.address import TcpAddress, parse_address

pytestmark = pytest.mark.interop

TIMEOUT = 8.0
"""The command's, within which a busy host too has memory moving, or is in the switchover."""
SOON = TIMEOUT + 15.0
PAUSE = 0.05
"""Seconds before each piece of a channel of QEMU 10.0 that is to crawl: it sends 12 MB/s, whatever
less it is told. With that, less goes through than the guest writes."""
SILENT = 60.0
"""For a command whose every question to a QEMU 7.2 takes 3 s: one that lost a channel before main
may never answer again."""


@dataclass
class Course:
    """One migration in a thread of its own, and how it ended."""

    source: Qemu | BuiltIn
    destination: Qemu | BuiltIn
    holder: Holder
    stop: threading.Event = field(default_factory=threading.Event)
    insist: threading.Event = field(default_factory=threading.Event)
    notes: list[str] = field(default_factory=list)
    result: MigrationResult | None = None
    error: RamferryError | None = None
    thread: threading.Thread | None = None

    moving: threading.Event = field(default_factory=threading.Event)
    """Set while memory moves."""

    def begin(self, timeout: float | None = None) -> None:
        """Start, and return when main is held back."""
        self._start(timeout, 0)
        until("the switchover", self.holder.holding.is_set, 30)

    def crawl(self, timeout: float | None = None) -> None:
        """Start, so slowly that it takes far longer than any test, and return in its midst."""
        self._start(timeout, MIB // 2)
        until("moving memory", self.moving.is_set, 30)

    def _start(self, timeout: float | None, rate: int) -> None:
        self.thread = threading.Thread(target=self._run, args=(timeout, rate))
        self.thread.start()

    def _sampled(self, sample: MigrationSample) -> None:
        if sample.status == "active" and sample.carried_bytes:
            self.moving.set()

    def _run(self, timeout: float | None, rate: int) -> None:
        hooks = Hooks(
            on_sample=self._sampled,
            on_note=self.notes.append,
            stop=self.stop,
            insist=self.insist,
        )
        incoming = f"unix:{self.destination.folder}/in"
        wish = Wish(
            "none",
            channels=2,
            max_bandwidth=rate,
            relay=RelayMode.NONE,
            via=str(self.holder.address),
            incoming=incoming,
        )
        try:
            self.result = migrate(self.source.uri, self.destination.uri, wish, hooks, timeout)
        except RamferryError as error:
            self.error = error

    def ended(self) -> bool:
        assert self.thread is not None
        return not self.thread.is_alive()

    def wait(self, seconds: float = SOON) -> RamferryError | None:
        until("the command's end", self.ended, seconds)
        return self.error

    def said(self, what: str) -> bool:
        return any(what in note for note in self.notes)


@pytest.fixture
def course(
    require_peer: Callable[[str], Path],
) -> Iterator[Callable[[str, Held], Course]]:
    with ExitStack() as stack:

        def make(kind: str, held: Held) -> Course:
            source, destination = stack.enter_context(ends(kind, require_peer))
            target = parse_address(f"unix:{destination.folder}/in")
            holder = Holder(TcpAddress("127.0.0.1", 0), target, held)
            stack.callback(holder.close)
            on = Course(source, destination, holder)
            stack.callback(lambda: on.thread is None or on.thread.join(60))
            stack.callback(on.insist.set)
            stack.callback(on.stop.set)
            return on

        yield make


WHO = {
    "timeout": lambda on: on.begin(timeout=TIMEOUT),
    "operator": lambda on: (on.begin(), on.stop.set()),
}
"""Who wishes for the end; a signal is the operator (``test_migrate_signals``)."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", WHO)
def test_while_memory_moves_it_is_cancelled_and_the_guest_stays(
    course: Callable[[str, Held], Course], kind: str, who: str
) -> None:
    on = course(kind, "tail")
    if isinstance(on.source, Qemu):
        on.source.ram[16 * MIB : 40 * MIB] = 1  # zeros would be through at once
    if kind == "10.0":
        on.holder.pause = PAUSE
    on.crawl(timeout=TIMEOUT if who == "timeout" else None)
    if who == "operator":
        on.stop.set()
    error = on.wait()
    assert isinstance(error, Cancelled)
    assert "; the guest runs at the source" in str(error)
    assert not on.holder.holding.is_set()
    before = beats(on.source)
    until("life at the source", lambda: beats(on.source) > before + 5, SOON)
    assert not lives(on.destination)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", WHO)
def test_a_destination_that_has_not_all_of_it_is_barred(
    course: Callable[[str, Held], Course],
    kind: str,
    who: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heeded = threading.Event()
    attempt = Ending.attempt

    def attempted(ending: Ending, why: str) -> bool:
        told = attempt(ending, why)
        heeded.set()
        return told

    monkeypatch.setattr(Ending, "attempt", attempted)
    on = course(kind, "tail")
    WHO[who](on)
    if kind == "built-in":
        # it takes no cancel once its device state is out: the destination's answer decides
        assert heeded.wait(SOON)
        on.holder.release()
        assert on.wait() is None
        assert on.said("too late to end the migration")
        until("life at the destination", lambda: lives(on.destination), SOON)
        assert not lives(on.source)
        return
    error = on.wait()
    assert isinstance(error, Cancelled)
    assert "; the guest runs at the source" in str(error)
    before = beats(on.source)
    until("life at the source", lambda: beats(on.source) > before + 5, SOON)
    # the worst: all of it arrives after all
    on.holder.release()
    until("a destination that has ended or stands still", lambda: decided(on.destination), SOON)
    assert not lives(on.destination)
    assert lives(on.source)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", WHO)
def test_a_destination_that_has_the_guest_keeps_it(
    course: Callable[[str, Held], Course], kind: str, who: str
) -> None:
    on = course(kind, "answer")
    if who == "operator":
        on.begin()
        # whoever presses in the instant before would have it stand still there
        until("the guest at the destination", lambda: lives(on.destination), SOON)
        on.stop.set()
    else:
        WHO[who](on)
    until("the truth", lambda: on.said("the destination has the guest, which is running"), SOON)
    assert lives(on.destination)
    assert not lives(on.source)
    on.holder.release()
    assert on.wait() is None
    assert on.result is not None
    assert lives(on.destination)
    assert not lives(on.source)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_lost_leaves_the_copy_at_the_source(
    course: Callable[[str, Held], Course], kind: str
) -> None:
    """Nobody asked: the link was cut, with the rest of the stream on it."""
    on = course(kind, "tail")
    on.begin()
    on.holder.lose()
    error = on.wait(SILENT)
    assert isinstance(error, MigrationFailed)
    assert "; the guest runs at the source" in str(error)
    before, there = beats(on.source), on.destination
    seen = beats(there) if isinstance(there, Qemu) else 0
    until("life at the source", lambda: beats(on.source) > before + 5, SOON)
    if isinstance(there, Qemu):
        assert beats(there) == seen  # its memory tells where its monitor does not
    else:
        assert not lives(there)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_is_lost_leaves_the_copy_that_ran(
    course: Callable[[str, Held], Course], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU lets its guest go on when main closes before the answer; the other one ran meanwhile."""
    monkeypatch.setattr(watch, "SWITCH_SECONDS", 0.3)
    on = course(kind, "answer")
    on.begin()
    # a first look may come before the destination runs it: a later one says something else
    until("a look at both", lambda: on.said("the destination is running"), SOON)
    on.holder.lose()
    error = on.wait()
    assert isinstance(error, PeerTimeout)
    assert "the guest runs at the destination" in str(error)
    assert lives(on.destination)
    assert not lives(on.source)


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_signal_leaves_what_cannot_be_ended(
    course: Callable[[str, Held], Course], kind: str
) -> None:
    on = course(kind, "answer")
    on.begin()
    until("the guest at the destination", lambda: lives(on.destination), SOON)
    on.stop.set()
    until("the truth", lambda: on.said("the destination has the guest, which is running"), SOON)
    on.insist.set()
    error = on.wait()
    assert isinstance(error, PeerTimeout)
    assert "if the source's QEMU does not end by itself, `quit` it" in str(error)
    assert "the guest runs at the destination: do not `cont` the source" in str(error)
    assert lives(on.destination)
    assert not lives(on.source)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_cancelled_while_the_destination_does_not_answer(
    course: Callable[[str, Held], Course], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramferry.control.qemu.asides.ASIDE_SECONDS", 0.5)
    on = course(kind, "answer")
    on.begin()
    until("the guest at the destination", lambda: lives(on.destination), SOON)
    os.kill(on.destination.process.pid, signal.SIGSTOP)
    try:
        on.stop.set()
        until("a note", lambda: on.said("nothing is cancelled before it was asked"), SOON)
        assert run_state(on.source) == "finish-migrate"  # type: ignore[arg-type]
    finally:
        os.kill(on.destination.process.pid, signal.SIGCONT)
    on.holder.release()
    assert on.wait() is None
    assert lives(on.destination)
    assert not lives(on.source)
