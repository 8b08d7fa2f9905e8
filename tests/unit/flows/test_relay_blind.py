"""A main channel that cannot be parsed: its marks pass unseen, the gate opens, and that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes_relay import RelayThread, Stage, until
from fakes_wire import MAIN, Do, Guest, Mode, Script, Step, device, footer
from ramferry.flows import relay as relay_module

BODY = device(1, b"odd", 60)[:-5]
"""A device's section without the footer that ends it."""


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_STEP", 0.03)
    monkeypatch.setattr("ramferry.flows.stall._BLIND", 0.1)


def test_the_gate_opens_and_a_person_is_told(tmp_path: Path) -> None:
    script = Script(Guest(early=BODY))
    stage = Stage(tmp_path)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest),
        stage.source(relay, script),
    ):
        until(lambda: any("not gated" in note for note in relay.seen.notes))
        assert not relay.session.gate.gated


@pytest.mark.parametrize("mode", ["section", "round"])
def test_marks_that_are_seen_again_pass_an_open_gate(tmp_path: Path, mode: Mode) -> None:
    """Nobody holds the channels any more, so that nothing waits until they are empty."""
    script = Script(Guest(early=BODY, mode=mode))
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:

        def opened() -> None:
            until(lambda: not relay.session.gate.gated)
            relay.session.until_consumed = lambda: pytest.fail("waits for busy channels")

        script.insert(script.find("start"), Do(opened), Step(MAIN, footer(1)))
        stage.carry(relay, script)
        assert not relay.finished().gated
