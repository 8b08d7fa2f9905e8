"""A main channel that cannot be parsed, and marks behind a gate that was opened for it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fakes_relay import RelayThread, Stage, until
from fakes_wire import MAIN, Close, Do, Guest, Mode, Script, device
from ramferry.flows.inlet import watching
from ramferry.flows.outlet import main as outlet_main


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "STEP", 0.03)
    monkeypatch.setattr("ramferry.flows.session.stall._BLIND", 0.1)


def test_a_hidden_block_list_is_a_failure(tmp_path: Path) -> None:
    """A device before ram, without the footer that would end it: nothing can be checked."""
    script = Script(Guest(early=device(1, b"odd", 60)[:-5]))
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script)
        assert "hides the list of RAM blocks" in result.error
        assert result.exit_code == 5
        assert any("'odd'" in note for note in relay.seen.notes)


@pytest.mark.parametrize("mode", ["section", "round"])
def test_marks_pass_an_open_gate(
    tmp_path: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody holds the channels any more, so that nothing waits until they are empty."""
    script = Script(Guest(mode=mode))
    stage = Stage(tmp_path)
    waits: list[str] = []
    with RelayThread(stage.settings) as relay:

        def opened() -> None:
            until(lambda: relay.session is not None and relay.session.gate.passed == 1)
            relay.session.gate.open()
            monkeypatch.setattr(
                outlet_main, "until_consumed", lambda _: waits.append("for busy channels")
            )

        script.insert(script.find("part", MAIN), Do(opened))
        stage.carry(relay, script)
        assert not relay.finished().gated
        assert waits == []


def test_channels_may_end_before_main_where_no_end_of_ram_is_seen(tmp_path: Path) -> None:
    script = Script(Guest())
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:

        def opened() -> None:
            until(lambda: relay.session is not None and relay.session.gate.passed == 1)
            relay.session.gate.open()

        def ended() -> None:
            names = {"multifd 0", "multifd 1"}
            until(lambda: not names & {thread.name for thread in threading.enumerate()})

        script.insert(script.find("end", MAIN), Close(0), Close(1), Do(ended))
        script.insert(script.find("part", MAIN), Do(opened))
        stage.carry(relay, script)
