"""The source's end of a connection in every place, its silence, and its slowness."""

from __future__ import annotations

import re
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest

from fakes_destination import Habits
from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import SETTLE, STALL
from fakes_wire import MAIN, Close, Do, Guest, Mode, Script, Step
from ramferry.flows.inlet import watching
from ramferry.flows.outlet import given_up
from ramferry.flows.outlet.main import RelayedMain
from ramferry.flows.session.session import Phase
from ramferry.vocabulary import Buffer
from ramferry.wire.packets import SYNC, ram_header

FAILED, PROTOCOL, TIMEOUT = 5, 7, 9

SMALL = {"rounds": 2, "packets": 1, "pages": 3}


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for stalls more often than a person needs progress."""
    monkeypatch.setattr(watching, "STEP", 0.03)


def places(script: Script, where: int) -> list[tuple[int, int]]:
    """Every step of a connection with sizes at which it may be cut."""
    found = []
    for index, step in enumerate(script.steps):
        if isinstance(step, Step) and step.where == where:
            least = 4 if step.what == "header" else 0
            sizes = {least, 1, len(step.data) // 2, len(step.data) - 1}
            found += [(index, size) for size in sorted(sizes) if size >= least]
    return found


def check_main(step: Step, how: str, result_error: str) -> None:
    if step.what == "tail":
        # the rest of the stream was kept from it, or it had what came and saw its end
        pattern = (
            "main: the source ended the migration in the switchover, before the answer: .*"
            "|the destination closed the main channel without taking over: .*"
        )
        if how == "reset":
            # which drops what the source has sent and the relay has not got, ram's END too
            pattern += "|main: the source (broke the connection: .*|ended the migration before .*)"
    elif how == "reset":
        # the kernel tells a reset once: where the return path met it first, main sees the end only
        pattern = "main: the source (broke the connection: .*|ended the migration .*|gave up .*)"
    elif step.what in ("header", "preamble"):
        pattern = "main: the source gave up before it sent any section"
    else:
        pattern = "main: the source (ended the migration before its last round|gave up .*)"
    assert re.fullmatch(pattern, result_error), (step.what, result_error)


@pytest.mark.parametrize("mode", ["section", "round"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_main_ends_in_every_place(
    tmp_path: Path, how: Literal["close", "reset"], mode: Mode
) -> None:
    """Of a source that died or was cancelled; its channels stay open and silent."""
    script = Script(Guest(mode=mode, **SMALL))
    stage = Stage(tmp_path)
    if how == "reset":
        stage.over_tcp()
    nth = 0
    with RelayThread(stage.settings) as relay:
        for index, size in places(script, MAIN):
            cut = script.copy().cut(index, size, how)
            nth += 1
            result = stage.fail(relay, cut, nth=nth)
            assert result.exit_code == FAILED
            step = script.steps[index]
            assert isinstance(step, Step)
            check_main(step, how, result.error)
        stage.carry(relay, script, nth + 1)
    assert nth > 20


@pytest.mark.parametrize("method", ["none", "zlib"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_channel_ends_in_every_place(
    tmp_path: Path, how: Literal["close", "reset"], method: str
) -> None:
    """Alone: main and the other channel stay open and silent."""
    script = Script(Guest(method=method, **SMALL))
    stage = Stage(tmp_path)
    if how == "reset":
        stage.over_tcp()
    nth = 0
    with RelayThread(stage.settings) as relay:
        for index, size in places(script, 1):
            step = script.steps[index]
            assert isinstance(step, Step)
            if step.what == "initial":
                continue
            nth += 1
            result = stage.fail(relay, script.copy().cut(index, size, how), nth=nth)
            if index < script.find("start"):
                pattern = "multifd 1: the source closed it before its migration began"
            elif how == "reset":
                pattern = "multifd 1: the source broke the connection: .*"
            elif size:
                pattern = rf"multifd 1 packet \d: .* received end of stream after {size} bytes"
            elif step.what == "payload":
                pattern = r"multifd 1 packet \d: .* received end of stream after 0 bytes"
            else:
                pattern = r"multifd 1: the source closed it after packet -?\d, before .*"
            # the first packet's prefix is a piece of its own
            pattern = pattern.replace(f"after {size} bytes", r"after \d+ bytes")
            assert re.fullmatch(pattern, result.error), (step.what, size, result.error)
            assert result.exit_code in (FAILED, PROTOCOL)
        stage.carry(relay, script, nth + 1)
    assert nth > 15


@pytest.mark.parametrize("size", [0, 1, 4, 63])
def test_a_channel_that_ends_in_its_initial_packet_never_came(tmp_path: Path, size: int) -> None:
    script = Script(Guest())
    step = script.steps[script.find("initial", 0)]
    assert isinstance(step, Step)
    script.edit(script.find("initial", 0), lambda raw: bytes(raw[:size]))
    script.insert(script.find("initial", 0) + 1, Close(0))
    script.silence(0)
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script)
        if size:
            expected = "a multifd channel: the source closed it before its migration began"
        else:  # as a port probe does
            expected = "multifd channels [0] never came, though later ones did"
        assert result.error == expected


@pytest.mark.parametrize("size", [0, 1000])
def test_a_channel_that_ends_in_its_device_state(tmp_path: Path, size: int) -> None:
    """In the switchover: the destination must hear that the rest will not come."""
    script = Script(Guest(device_state=5000))
    index = script.find("device payload", 1)
    script.edit(index, lambda raw: bytes(raw[:size])).insert(index + 1, Close(1))
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script)
        assert result.error.startswith("the destination closed the main channel")
        assert any("left to the destination to judge: multifd 1" in one for one in relay.seen.notes)


def test_the_source_dies_when_everything_is_sent(tmp_path: Path) -> None:
    """The destination has all of it and takes over; only the source cannot be told."""
    script = Script(Guest())
    read, died = threading.Event(), threading.Event()
    ends = [Close(where, "reset") for where in (MAIN, 0, 1)]
    script.steps += [Do(lambda: read.wait(SETTLE)), *ends, Do(died.set)]
    stage = Stage(tmp_path)
    stage.over_tcp()

    def wait() -> None:
        read.set()
        assert died.wait(SETTLE)

    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest, Habits(before_answer=wait)) as destination,
        stage.source(relay, script),
    ):
        result = relay.finished()
        assert result.completed
        assert destination.complete
        until(destination.all_ended, NOTICE)
        assert any("the guest runs at the destination" in note for note in relay.seen.notes)
    assert destination.memory == script.memory


def test_the_source_dies_while_it_is_noted_that_everything_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Main's thread may stand between the two; the destination has read all of it by then."""
    send = RelayedMain._send

    def slow(main: RelayedMain, part: Buffer, at: int = 0) -> None:
        send(main, part, at)
        if main._session.phase is Phase.SWITCHOVER:
            time.sleep(0.3)

    monkeypatch.setattr(RelayedMain, "_send", slow)
    monkeypatch.setattr(given_up, "MOMENT", 5.0)
    test_the_source_dies_when_everything_is_sent(tmp_path)


# --- silence


SILENCES = {
    "main after its magic": (lambda script: (script.find("header"), 4), "has not opened all"),
    "main in its preamble": (lambda script: (script.find("preamble"), 3), "has not opened all"),
    "main before the first mark": (
        lambda script: (script.find("start"), 20),
        "has not opened all its channels",
    ),
    "main before a mark": (
        lambda script: (script.find("part", MAIN), 7),
        "2 channels wait for sync mark 1 on main",
    ),
    "a channel before its SYNC": (
        lambda script: (script.find("sync", 1, 1), 0),
        "sync mark 1 waits for the SYNC of multifd 1",
    ),
    "a channel in a prefix": (
        lambda script: (script.find("packet", 1), 100),
        "multifd 1: the peer went silent after 100 of 276 bytes",
    ),
    "a channel in a header": (
        lambda script: (script.find("packet", 1), 1000),
        "multifd 1: the peer went silent after 0 of 344 bytes",
    ),
    "a channel before a payload": (
        lambda script: (script.find("payload", 1), 0),
        r"multifd 1: the peer went silent after 0 of \d+ bytes",
    ),
    "a channel in a payload": (
        lambda script: (script.find("payload", 1), 11),
        r"multifd 1: the peer went silent after 11 of \d+ bytes",
    ),
}


@pytest.mark.parametrize("name", SILENCES)
def test_a_silent_source_is_given_up(tmp_path: Path, name: str) -> None:
    place, pattern = SILENCES[name]
    script = Script(Guest())
    # what follows a channel's SYNC shows that somebody waits for the mark
    index, size = place(script)
    part = script.steps[script.find("part", MAIN)]
    script.stop(index, size)
    more = bytes(ram_header(flags=SYNC))
    if name == "main before a mark":
        script.steps += [Step(0, more), Step(1, more)]
    elif name == "a channel before its SYNC":
        script.steps.append(part)
    stage = Stage(tmp_path, stall_timeout=STALL)
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script)
        assert result.exit_code == TIMEOUT
        assert re.search(pattern, result.error), result.error


def test_a_silent_switchover_is_ended_by_the_second_signal_only(tmp_path: Path) -> None:
    """Ram's END went on: nobody but the destination knows which side may run."""
    script = Script(Guest())
    script.stop(script.find("tail"), 100)
    stage = Stage(tmp_path, stall_timeout=STALL)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest) as destination,
        stage.source(relay, script) as source,
    ):
        until(lambda: relay.session is not None and relay.session.phase.name == "SWITCHOVER")
        # longer than the stall limit: not given up
        threading.Event().wait(1.5 * STALL)
        assert not relay.seen.results
        relay.relay.stop("SIGTERM")
        until(lambda: any("signal again" in note for note in relay.seen.notes))
        assert not relay.seen.results
        relay.relay.stop("SIGTERM")
        result = relay.finished()
        assert "before the destination had answered: SIGTERM; see with" in result.error
        assert result.exit_code == 9
        until(lambda: not source.left(), NOTICE)
        until(destination.all_ended, NOTICE)
        assert source.status == "failed"


# --- slowness


SLOWNESS, PAUSE, PIECES = 4.0, 0.6, 8
"""A limit, pauses far below it, also on a busy machine, and so many that they exceed it."""


def pause() -> None:
    threading.Event().wait(PAUSE)


def test_a_slow_source_is_no_silent_one(tmp_path: Path) -> None:
    assert PAUSE * PIECES > SLOWNESS
    script = Script(Guest(rounds=1, packets=1))
    index = script.find("payload", 1)
    step = script.steps[index]
    assert isinstance(step, Step)
    edges = [len(step.data) * piece // PIECES for piece in range(PIECES + 1)]
    script.steps[index : index + 1] = [
        each
        for begin, end in pairwise(edges)
        for each in (Step(1, step.data[begin:end]), Do(pause))
    ]
    stage = Stage(tmp_path, stall_timeout=SLOWNESS)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)


def test_a_slow_destination_is_no_silent_one(tmp_path: Path) -> None:
    script = Script(Guest(rounds=PIECES // 2, packets=1))  # each of two channels pauses
    stage = Stage(tmp_path, stall_timeout=SLOWNESS)
    slow = Habits(before_sync=lambda channel, _: pause() if channel else None)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest, slow) as destination,
        stage.source(relay, script) as source,
    ):
        assert relay.finished().completed
        assert source.status == "completed"
    assert destination.memory == script.memory
