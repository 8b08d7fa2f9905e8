"""A source keeps its connections for a while after its migration has failed."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes_destination import FakeDestination, Habits
from fakes_many import LONG, Many, guest_of
from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import SETTLE, FakeSource
from fakes_wire import MAIN, Close, Do, Guest, Script
from ramferry.errors import Cancelled

HOLD = 60.0
"""Longer than any of these tests."""


@contextmanager
def broken(
    folder: Path, seconds: float = HOLD
) -> Iterator[tuple[RelayThread, FakeSource, FakeDestination]]:
    """A migration that stands still in the middle; its destination has closed a channel by then."""
    script, go_on = Script(Guest()), threading.Event()
    script.insert(script.find("part", MAIN), Do(lambda: go_on.wait(LONG)))
    stage = Stage(folder, hold_source=seconds)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest, Habits(close_channel_after=(1, 1))) as destination,
        stage.source(relay, script) as source,
    ):
        try:
            yield relay, source, destination
        finally:
            go_on.set()


def held(relay: RelayThread, source: FakeSource, error: str = "multifd 1: ") -> None:
    """The observer was told, and nothing of the source's has ended."""
    until(lambda: bool(relay.seen.failures), what="the observer is told")
    ((migration, sentence),) = relay.seen.failures
    assert migration == relay.session.tally.migration
    assert error in sentence
    assert source.left() == set(source.socks)
    assert not relay.seen.results


def test_until_the_source_ends_them(tmp_path: Path) -> None:
    with broken(tmp_path) as (relay, source, destination):
        held(relay, source)
        until(destination.all_ended, NOTICE, "the destination's connections end")
        assert source.left() == set(source.socks)
        source.end()
        result = relay.finished(seconds=NOTICE)
        assert (result.error, result.exit_code) == (relay.seen.failures[0][1], 5)


def test_until_the_time_is_over(tmp_path: Path) -> None:
    with broken(tmp_path, 4.0) as (relay, source, _):
        until(lambda: bool(relay.seen.failures))
        told = time.monotonic()
        until(lambda: not source.left(), what="the source's connections end")
        assert time.monotonic() - told > 1.0  # this thread may have been told late
        assert not relay.finished().completed


def test_not_where_nobody_wants_it(tmp_path: Path) -> None:
    with broken(tmp_path, 0.0) as (relay, source, _):
        until(lambda: not source.left(), what="the source's connections end")
        assert relay.finished().exit_code == 5
        assert relay.seen.failures == []


@pytest.mark.parametrize("end", ["stop", "leave"])
def test_a_relay_that_is_told_to_end_does_not_wait(tmp_path: Path, end: str) -> None:
    with broken(tmp_path) as (relay, source, _):
        held(relay, source)
        getattr(relay.relay, end)("SIGTERM")
        relay.ends()
        assert relay.finished().error == relay.seen.failures[0][1]
        until(lambda: not source.left(), NOTICE, "the source's connections end")


def test_not_where_the_migration_was_cancelled(tmp_path: Path) -> None:
    script = Script(Guest())
    stage = Stage(tmp_path, hold_source=HOLD)
    with RelayThread(stage.settings) as relay:

        def stop() -> None:
            until(lambda: relay.session is not None)
            relay.session.fail(Cancelled("cancelled by somebody"))
            until(lambda: bool(relay.seen.results))

        script.insert(script.find("part", MAIN), Do(stop))
        assert stage.fail(relay, script).exit_code == Cancelled.exit_code
        assert relay.seen.failures == []


def test_not_in_the_switchover(tmp_path: Path) -> None:
    stage = Stage(tmp_path, hold_source=HOLD)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(Guest(), Habits(shut=None)),
        stage.source(relay, Script(Guest())),
    ):
        assert "without taking over" in relay.finished().error
        assert relay.seen.failures == []


def test_not_where_the_source_has_ended_it(tmp_path: Path) -> None:
    script = Script(Guest())
    script.insert(script.find("part", MAIN), Close(MAIN))
    stage = Stage(tmp_path, hold_source=HOLD)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest),
        stage.source(relay, script),
    ):
        assert "the source" in relay.finished().error
        assert relay.seen.failures == []


def test_others_go_on_meanwhile() -> None:
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        many, scripts = Many(Path(folder), hold_source=HOLD), [Script(guest_of(n)) for n in (1, 2)]
        go_on = [threading.Event() for _ in scripts]
        for script, event in zip(scripts, go_on, strict=True):
            script.insert(script.find("part", MAIN), Do(lambda event=event: event.wait(LONG)))  # type: ignore[misc]
        with (
            RelayThread(many.stage.settings) as relay,
            many.guests(scripts) as (first, second),
            many.sources(relay.address, [first, second]),
        ):
            until(lambda: first.destination.marks == second.destination.marks == [0], LONG)
            first.destination.close()
            until(lambda: bool(relay.seen.failures), LONG)
            go_on[1].set()
            assert relay.finished(seconds=LONG).uuid == second.uuid
            second.arrived()
            assert first.source is not None
            assert first.source.left() == set(first.source.socks)
            go_on[0].set()
            first.source.end()
            assert relay.finished(2, SETTLE).uuid == first.uuid
