"""What an earlier migration left, and what the next one lost before it began."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest

from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import at_end, dial
from fakes_wire import MAIN, Do, Guest, Script, Step, header
from ramferry.flows.inlet import waiting
from ramferry.wire.packets import Initial, ram_header

PAGES = bytes(
    ram_header(normal=[page * 4096 for page in range(128)], payload_size=128 * 4096)
) + bytes(128 * 4096)
BEFORE = "the source closed it before its migration began"


def left_over(relay: RelayThread, channel: int = 0) -> None:
    """A channel that sent pages and was closed: over TCP its end lies behind a full window."""
    # where it is refused at once, that may come before all of it is sent
    with dial(relay.address) as sock, suppress(ConnectionError):
        sock.sendall(Initial(bytes(16), channel).encode() + PAGES)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.over_tcp()
    return stage


@pytest.mark.parametrize("channel", [0, 7])
@pytest.mark.parametrize("failed_before", [False, True])
def test_what_a_failed_migration_left_is_not_taken_into_the_next(
    stage: Stage, failed_before: bool, channel: int
) -> None:
    """The second try comes at once, while the first one's channel still waits."""
    script = Script(Guest())
    with RelayThread(stage.settings) as relay:
        if failed_before:
            cut = script.copy()
            stage.fail(relay, cut.cut(cut.find("preamble"), 3))
        left_over(relay, channel)
        said = f"refused multifd {channel}, which is left over from an earlier migration"
        until(lambda: relay.waiting() == {channel} or said in relay.seen.notes)
        # where a migration has just failed it is known at once
        assert bool(relay.waiting()) is not failed_before
        # it takes a source longer to notice, and a person or a script to try again
        again = time.monotonic() + 0.1
        until(lambda: time.monotonic() > again)
        stage.carry(relay, script, 1 + failed_before)
        assert said in relay.seen.notes


def test_what_nobody_comes_for_is_turned_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with RelayThread(stage.settings) as relay:
        left_over(relay, 5)
        until(lambda: relay.waiting() == {5})
        monkeypatch.setattr(waiting, "MOTHERLESS", 0.3)
        until(lambda: not relay.waiting(), NOTICE)
        assert "refused multifd 5, which was without its main channel for" in relay.seen.notes[0]


def test_what_comes_late_of_an_earlier_migration_does_not_end_this_one(stage: Stage) -> None:
    """Accepted before this one's main, it says what it is when all channels are there."""
    script = Script(Guest())
    with RelayThread(stage.settings) as relay, dial(relay.address) as late:
        until(lambda: relay.relay.arrivals.accepted == 1)
        script.insert(
            script.find("part", MAIN),
            Do(relay.gathered),
            Do(lambda: late.sendall(Initial(bytes(16), 9).encode())),
            Do(lambda: until(lambda: at_end(late), NOTICE)),
        )
        stage.carry(relay, script)
        assert "refused a second multifd 9 in a migration under way" in relay.seen.notes


def test_main_accepted_behind_its_channels_is_carried(stage: Stage) -> None:
    """The last packet of main's handshake was lost: accepted last, it has both channels."""
    script = Script(Guest())
    initials = [script.steps[script.find("initial", channel)] for channel in (0, 1)]
    script.steps = [*initials, *(step for step in script.steps if step not in initials)]
    with RelayThread(stage.settings) as relay:
        destination = stage.carry(relay, script)
        assert destination.connections == 3


# --- a channel that left before its migration began


@pytest.mark.parametrize("tcp", [False, True])
def test_a_channel_that_hangs_up_ends_the_main_that_is_silent_still(
    tmp_path: Path, tcp: bool
) -> None:
    stage = Stage(tmp_path)
    if tcp:
        stage.over_tcp()
    with RelayThread(stage.settings) as relay:
        main, channel = dial(relay.address), dial(relay.address)
        with main:
            channel.sendall(Initial(bytes(16), 1).encode())
            until(lambda: relay.waiting() == {1})
            channel.close()
            until(lambda: at_end(main), NOTICE, "main is ended")
        result = relay.finished()
        assert (result.completed, result.exit_code) == (False, 5)
        assert result.error == f"multifd 1: {BEFORE}"
        stage.carry(relay, Script(Guest()), 2)


@pytest.mark.parametrize("size", [1, 4, 63])
def test_one_that_hangs_up_in_its_initial_packet_does_too(tmp_path: Path, size: int) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        with dial(relay.address) as main:
            with dial(relay.address) as channel:
                channel.sendall(Initial(bytes(16), 1).encode()[:size])
            until(lambda: at_end(main), NOTICE, "main is ended")
        assert relay.finished().error == f"a multifd channel: {BEFORE}"


def test_a_channel_that_hangs_up_while_main_speaks_ends_it(tmp_path: Path) -> None:
    """As the loop meets them: the channel's end and main's magic in one step."""
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        with dial(relay.address) as main, dial(relay.address) as channel:
            channel.sendall(Initial(bytes(16), 0).encode())
            until(lambda: relay.waiting() == {0})
            main.sendall(header())
            channel.close()
            until(lambda: at_end(main), NOTICE, "main is ended")
        assert relay.finished().error == f"multifd 0: {BEFORE}"


def test_a_port_probe_between_them_ends_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, channels=2)
    script = Script(Guest())
    with RelayThread(stage.settings) as relay:
        script.insert(1, Do(lambda: dial(relay.address).close()))
        stage.carry(relay, script)


def test_where_a_channel_is_missing_a_probe_was_one(tmp_path: Path) -> None:
    """Its connection was cut before its first byte; main stands before the first mark."""
    stage = Stage(tmp_path, channels=3)
    script = Script(Guest())
    with RelayThread(stage.settings) as relay:
        script.insert(1, Do(lambda: dial(relay.address).close()))
        result = stage.fail(relay, script)
        assert result.error == (
            "2 of 3 multifd channels came, and a connection was closed before it said which it is"
        )


def test_where_a_channel_is_missing_a_probe_before_main_spoke_was_one(tmp_path: Path) -> None:
    """It came behind main, and left while main was still silent, as a QEMU 10's is for a while."""
    stage = Stage(tmp_path, channels=3)
    script = Script(Guest())
    with RelayThread(stage.settings) as relay:

        def probe() -> None:
            dial(relay.address).close()
            until(lambda: relay.relay.arrivals._waiting._gone)

        script.insert(0, Step(MAIN), Do(probe))
        result = stage.fail(relay, script)
        assert result.error == (
            "2 of 3 multifd channels came, and a connection was closed before it said which it is"
        )


def test_what_leaves_once_every_channel_is_here_was_none(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    script = Script(Guest())
    with RelayThread(stage.settings) as relay:

        def half() -> None:
            relay.gathered()
            with dial(relay.address) as channel:
                channel.sendall(Initial(bytes(16), 1).encode()[:20])
            until(lambda: relay.relay.arrivals._waiting._gone)

        script.insert(script.find("end", MAIN), Do(half))
        stage.carry(relay, script)


def test_a_source_that_gives_up_as_a_whole_is_no_failed_migration(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        main, channel = dial(relay.address), dial(relay.address)
        channel.sendall(Initial(bytes(16), 0).encode())
        until(lambda: relay.waiting() == {0})
        main.close()
        channel.close()
        until(lambda: not relay.waiting())
        stage.carry(relay, Script(Guest()))
