"""A destination that is not there, refuses, dies, stalls, or says what it should not."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from fakes_destination import Habits
from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import LONG_STALL, SETTLE, STALL
from fakes_wire import MAIN, Guest, Mode, Script
from ramferry.flows.inlet import watching
from ramferry.flows.outlet import outlet
from ramferry.transport.address import Address
from ramferry.transport.connection import Connection

FAILED, PROTOCOL, TIMEOUT, UNREACHABLE = 5, 7, 9, 3


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for stalls more often than a person needs progress."""
    monkeypatch.setattr(watching, "STEP", 0.03)


@pytest.mark.parametrize("tcp", [False, True])
def test_a_destination_that_is_not_there(tmp_path: Path, tcp: bool) -> None:
    stage = Stage(tmp_path)
    if tcp:
        stage.over_tcp()
    script = Script(Guest())
    with RelayThread(stage.settings) as relay:
        with stage.source(relay, script) as source:
            result = relay.finished()
            assert result.exit_code == UNREACHABLE
            assert result.error.startswith(f"nobody accepts at {stage.settings.connect}: ")
            assert source.done.wait(SETTLE)
            until(lambda: source.left() <= relay.waiting(), NOTICE)
            assert source.status == "failed"
        until(lambda: not relay.waiting())
        stage.carry(relay, script, 2)


CHANNEL_GONE = (
    "multifd 1: the destination (closed|broke) the connection.*"
    "|a multifd channel broke at the destination"
)
MAIN_GONE = "the destination closed the main channel .*|main: the destination broke .*"

HABITS: dict[str, tuple[Habits, int, str]] = {
    "refuses with SHUT 1": (
        Habits(shut=1),
        FAILED,
        r"the destination refused the guest \(SHUT with error 1\)",
    ),
    "closes main at the end without SHUT": (Habits(shut=None), FAILED, MAIN_GONE),
    "closes main at the first mark": (Habits(close_main_at_mark=0), FAILED, MAIN_GONE),
    "closes main at a later mark": (Habits(close_main_at_mark=2), FAILED, MAIN_GONE),
    "closes a channel at once": (Habits(close_channel_after=(1, 0)), FAILED, CHANNEL_GONE),
    "closes a channel in a round": (Habits(close_channel_after=(1, 4)), FAILED, CHANNEL_GONE),
    "leaves a SYNC unread": (
        Habits(stop_reading_after=(1, 3)),
        TIMEOUT,
        r"(main: |nothing moved for \d+ s: )?the destination leaves \d+ bytes of a channel untaken",
    ),
    "says nothing that is known, before the switchover": (
        Habits(early=b"\x00\x63\x00\x04????"),
        PROTOCOL,
        "return path: expected a message type up to 7, received type 99 .*",
    ),
    "says nothing that is known, instead of SHUT": (
        Habits(garbage=b"\x00\x63\x00\x04????"),
        FAILED,
        MAIN_GONE,
    ),
    "cuts its SHUT short": (Habits(garbage=b"\x00\x01\x00\x04\x00\x00"), FAILED, MAIN_GONE),
    "takes over before ram's END": (
        Habits(early=b"\x00\x01\x00\x04\x00\x00\x00\x00"),
        PROTOCOL,
        "return path: expected no SHUT before ram's END, received SHUT 0",
    ),
    "refuses in a round": (
        Habits(early=b"\x00\x01\x00\x04\x00\x00\x00\x07"),
        FAILED,
        r"the destination refused the guest \(SHUT with error 7\)",
    ),
}


@pytest.mark.parametrize("mode", ["section", "round"])
@pytest.mark.parametrize("name", HABITS)
def test_a_destination_that_fails(tmp_path: Path, name: str, mode: Mode) -> None:
    habits, code, sentence = HABITS[name]
    stage = Stage(tmp_path, stall_timeout=LONG_STALL if code == TIMEOUT else SETTLE)
    script = Script(Guest(mode=mode))
    if habits.early:
        # what is said in the middle must arrive in the middle, whoever of the two is slow
        script.stop(script.find("end", MAIN))
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script, habits)
        assert result.exit_code == code, result.error
        assert re.fullmatch(sentence, result.error), result.error
        stage.carry(relay, Script(Guest(mode=mode)), 2)


def test_a_destination_that_stops_reading_a_channel_under_load(tmp_path: Path) -> None:
    """Not a SYNC, but many packets lie there: the relay's send stands still."""
    script = Script(Guest(method="none", pages=30, packets=4, rounds=1))
    stage = Stage(tmp_path, method="none", stall_timeout=STALL)
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script, Habits(stop_reading_after=(0, 2)))
        assert result.exit_code == TIMEOUT
        assert re.search("takes no more bytes|untaken", result.error), result.error


def test_a_destination_that_stops_reading_main(tmp_path: Path) -> None:
    """Main's bytes are few, so its channels are what stands still: the mark is never passed."""
    script = Script(Guest())
    stage = Stage(tmp_path, stall_timeout=STALL)
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script, Habits(stop_main_at_mark=1))
        assert result.exit_code in (TIMEOUT, FAILED), result.error


@pytest.mark.parametrize("tcp", [False, True])
def test_shut_is_never_lost(tmp_path: Path, tcp: bool) -> None:
    """The destination says SHUT and is gone in the same moment, again and again."""
    stage = Stage(tmp_path)
    if tcp:
        stage.over_tcp()
    script = Script(Guest(channels=1, rounds=1, packets=0))
    with RelayThread(stage.settings) as relay:
        for nth in range(1, 31):
            stage.carry(relay, script, nth)


def test_a_destination_that_keeps_main_open_after_shut_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_FAREWELL", 0.1)
    script = Script(Guest())
    stage = Stage(tmp_path)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest, Habits(keep_open=True)) as destination,
        stage.source(relay, script) as source,
    ):
        result = relay.finished(seconds=NOTICE)
        assert result.completed
        until(lambda: source.status == "completed")
        destination.released.set()


def test_a_slow_answer_in_the_switchover_is_waited_for(tmp_path: Path) -> None:
    """Beyond the stall limit: the destination loads its devices."""
    script = Script(Guest())
    stage = Stage(tmp_path, stall_timeout=LONG_STALL)
    slow = Habits(before_answer=lambda: threading.Event().wait(1.5 * LONG_STALL))
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest, slow) as destination,
        stage.source(relay, script) as source,
    ):
        assert relay.finished().completed
        assert source.status == "completed"
    assert destination.memory == script.memory


def test_a_migration_that_fails_while_it_connects_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The destination's queue is full: connecting takes its time, and a signal comes."""
    connecting, go_on = threading.Event(), threading.Event()
    connect = outlet.connect

    def slow(address: Address, *_: object, **__: object) -> Connection:
        connecting.set()
        assert go_on.wait(SETTLE)
        return connect(address)

    monkeypatch.setattr(outlet, "connect", slow)
    script = Script(Guest())
    stage = Stage(tmp_path)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest) as destination,
        stage.source(relay, script) as source,
    ):
        assert connecting.wait(SETTLE)
        relay.relay.stop("SIGTERM")
        until(lambda: MAIN not in source.left(), NOTICE, "the source hears of it")
        go_on.set()
        assert relay.finished().exit_code == 6
        until(destination.all_ended, NOTICE)
        assert source.status == "failed"
