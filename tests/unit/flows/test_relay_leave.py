"""Whoever started a relay has gone: it ends, but not while its far end may have to ask it."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes_destination import Habits
from fakes_pair import Pair, pair
from fakes_relay import RelayThread, Stage, until
from fakes_source import SETTLE, FakeSource
from fakes_wire import MAIN, Do, Guest, Script
from peer_meddler import Meddler
from ramferry.transport.address import UnixAddress

GUEST = Guest(method="none", zeros=1, packets=4, device_state=5000)
A_WHILE = 0.5
"""Seconds for which a relay is seen not to end."""


def stays(relay: RelayThread) -> bool:
    relay.thread.join(A_WHILE)
    return relay.thread.is_alive()


def test_while_nothing_comes_it_ends(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings, once=True) as relay:
        relay.relay.leave("SIGHUP")
        relay.ends()
        assert relay.result is None


@pytest.mark.parametrize("what", ["part", "end"])
def test_while_memory_moves_it_ends_the_migration(tmp_path: Path, what: str) -> None:
    """Also a far end that is a Ramferry has nothing to ask then."""
    script = Script(GUEST)
    with pair(tmp_path, "none") as both:

        def leave() -> None:
            until(lambda: both.far.session is not None)
            both.far.relay.leave("SIGHUP")
            until(lambda: bool(both.far.seen.results))

        script.insert(script.find(what, MAIN), Do(leave))
        assert "cancelled: SIGHUP" in both.stage.fail(both.near, script).error
        both.far.ends()


class Switching:
    """A pair whose destination has all, and whose link is gone before it answers."""

    def __init__(self, both: Pair[Meddler], source: FakeSource, answer: threading.Event) -> None:
        self.far, self.near, self.source = both.far, both.near, source
        self._meddler, self._answer = both.meddler, answer
        self._target = both.meddler._target

    def cut(self) -> None:
        self._meddler._target = UnixAddress(f"{self._target.path}-not")
        self._meddler._end_lines()

    def mend(self) -> None:
        self._meddler._target = self._target

    def heeded(self) -> None:
        """Wait until the far relay has heard of a wish to end it."""
        until(lambda: any("waiting for its answer" in one for one in self.far.seen.notes))

    def let_answer(self) -> None:
        self._answer.set()

    def answer(self) -> None:
        self.let_answer()
        try:
            assert self.far.finished().completed
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.far.session}, {self.far.seen.notes}") from error


@pytest.fixture
def switching(tmp_path: Path) -> Iterator[Switching]:
    with _switching(tmp_path) as made:
        yield made


@contextmanager
def _switching(folder: Path) -> Iterator[Switching]:
    reached, answer = threading.Event(), threading.Event()

    def hesitate() -> None:
        reached.set()
        assert answer.wait(SETTLE)

    script = Script(GUEST)
    with (
        pair(folder, "none") as both,
        both.stage.destination(script.guest, Habits(before_answer=hesitate)),
        both.stage.source(both.near, script) as source,
    ):
        assert reached.wait(SETTLE)
        yield Switching(both, source, answer)


@pytest.mark.parametrize("when", ["before the answer", "after it"])
def test_in_the_switchover_it_waits_to_be_asked(switching: Switching, when: str) -> None:
    on = switching
    on.cut()
    if when == "before the answer":
        on.far.relay.leave("SIGHUP")
        on.heeded()
        on.far.relay.leave("its reader is gone")  # changes nothing
        on.answer()
    else:
        on.answer()
        on.far.relay.leave("SIGHUP")
    assert stays(on.far)
    assert not on.near.seen.results
    on.mend()
    assert on.near.finished().completed
    assert on.source.status == "completed"
    on.far.ends()


def test_a_signal_in_the_switchover_leaves_what_is_owed_and_a_second_one_does_not(
    switching: Switching,
) -> None:
    on = switching
    on.cut()
    on.far.relay.stop("SIGTERM")
    on.heeded()
    on.answer()
    assert stays(on.far)
    on.far.relay.stop("SIGTERM")
    on.far.ends()
    assert any("the guest was taken over here" in one for one in on.far.seen.notes)
    on.near.relay.stop("SIGTERM")
    on.near.relay.stop("SIGTERM")
    assert "see with `info status`" in on.near.finished().error


def test_a_second_signal_before_the_answer_says_nothing_of_the_destination(
    switching: Switching,
) -> None:
    """The destination has all of it, and its main ends because this relay ends it."""
    on = switching
    on.far.relay.stop("SIGTERM")
    on.heeded()
    on.far.relay.stop("SIGTERM")
    on.far.ends()
    on.let_answer()
    # whether the far end's "unknown" came before it ended is chance; else this one asks on
    on.near.relay.stop("SIGTERM")
    on.near.relay.stop("SIGTERM")
    for relay in (on.far, on.near):
        result = relay.finished(seconds=30)
        assert (result.outcome, result.exit_code) == ("undecided", 9), result.error
    assert not on.source.ended.wait(A_WHILE)
    (holder,) = re.findall(r"by process (\d+)", result.error)
    os.kill(int(holder), signal.SIGTERM)


def test_what_is_about_to_end_takes_no_other_migration(switching: Switching) -> None:
    on = switching
    on.cut()
    on.far.relay.leave("SIGHUP")
    on.heeded()
    on.answer()
    until(lambda: on.far.session is None)
    assert on.far.relay._busy() == "it is about to end"
    on.mend()
    assert on.near.finished().completed
