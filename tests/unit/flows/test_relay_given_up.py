"""A source that ends main in the switchover, before the answer, goes on with its guest.

So the destination must not get the rest of the stream, where it can still be kept from it; where it
has taken all, its answer is waited for (``test_relay_endings``).
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Literal

import pytest

import raw_sockets
from fakes_destination import Habits
from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import SETTLE, FakeSource
from fakes_wire import MAIN, Close, Do, Guest, Script, device, end_of_stream
from ramferry.flows.inlet import watching
from ramferry.metrics import RelayCounters

KEPT = re.compile("main: the source ended the migration in the switchover, .* was withdrawn, .*")
LAST_MARK = 3
FAILED = 5


@pytest.mark.parametrize("how", ["close", "reset"])
def test_the_rest_is_not_delivered_once_the_source_is_gone(
    tmp_path: Path, how: Literal["close", "reset"]
) -> None:
    """All of main lies before the relay, which waits for a SYNC, when the source ends it."""
    script = Script(Guest())
    gone = threading.Event()
    syncs = [script.steps.pop(script.find("sync", channel, -1)) for channel in (0, 1)]
    script.steps += [Close(MAIN, how), Do(gone.set), *syncs]
    stage = Stage(tmp_path)
    stage.over_tcp()
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script)
        assert gone.is_set()
        assert result.exit_code == FAILED
    tail = end_of_stream()
    assert tail not in bytes(stage.last.main_stream)


def test_what_waits_for_a_slow_destination_is_reset(tmp_path: Path) -> None:
    """More of the device state than sockets hold: the relay's thread is held up in sending it."""
    script = Script(Guest())
    index = script.find("tail")
    script.edit(index, lambda _: device(7, size=20_000_000) + end_of_stream())
    stage = Stage(tmp_path)
    stage.over_tcp()
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest, Habits(pause_main_at_mark=LAST_MARK)) as destination,
        stage.source(relay, script) as source,
    ):
        until(lambda: relay.session is not None and relay.session.phase.name == "SWITCHOVER")
        # a FIN would stay behind what the source has sent; that stream is not whole either
        raw_sockets.reset(source.socks[MAIN])
        result = relay.finished()
        assert KEPT.fullmatch(result.error)
        assert result.outcome == "failed"  # nobody need look where the guest is: the source kept it
        destination.released.set()
        until(destination.all_ended, NOTICE, "the destination's connections end")
        assert not destination.complete
        assert source.done.wait(SETTLE)
        assert source.status == "failed"


def test_a_second_signal_in_the_switchover_resets_too(tmp_path: Path) -> None:
    script = Script(Guest())
    script.edit(script.find("tail"), lambda _: device(7, size=20_000_000) + end_of_stream())
    stage = Stage(tmp_path)
    stage.over_tcp()
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest, Habits(pause_main_at_mark=LAST_MARK)) as destination,
        stage.source(relay, script),
    ):
        until(lambda: relay.session is not None and relay.session.phase.name == "SWITCHOVER")
        relay.relay.stop("SIGTERM")
        relay.relay.stop("SIGTERM")
        assert relay.finished().error.startswith("ended in the switchover, ")
        destination.released.set()
        until(destination.all_ended, NOTICE, "the destination's connections end")
        assert not destination.complete


def test_a_fault_of_the_relays_own_in_the_switchover_says_no_more_than_it_knows(
    tmp_path: Path,
) -> None:
    script = Script(Guest())
    script.edit(script.find("tail"), lambda _: device(7, size=20_000_000) + end_of_stream())
    stage = Stage(tmp_path)
    stage.over_tcp()
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest, Habits(pause_main_at_mark=LAST_MARK)) as destination,
        stage.source(relay, script),
    ):
        keep = relay.seen.progress

        def break_once(_: RelayCounters) -> None:
            relay.seen.progress = keep  # type: ignore[method-assign]
            raise ValueError("broken")

        until(lambda: relay.session is not None and relay.session.phase.name == "SWITCHOVER")
        relay.seen.progress = break_once  # type: ignore[method-assign]
        until(lambda: relay.error is not None)
        assert str(relay.error) == "broken"
        relay.error = None
        assert relay.finished().error == (
            "ended in the switchover, before the destination had answered: the relay ended; see "
            "with `info status` which QEMU runs the guest"
        )
        destination.released.set()
        until(destination.all_ended, NOTICE, "the destination's connections end")
        assert not destination.complete


def test_a_source_that_does_not_close_has_perhaps_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer lies in a socket of a network that is gone: both guests could run."""
    monkeypatch.setattr(watching, "_FAREWELL", 0.1)
    monkeypatch.setattr(FakeSource, "_release", lambda _: None)
    script = Script(Guest())
    stage = Stage(tmp_path)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest),
        stage.source(relay, script),
    ):
        assert relay.finished().completed
        assert any("does not close the migration as one" in note for note in relay.seen.notes)
