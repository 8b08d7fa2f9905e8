"""What a save and a restore set in their QEMU."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes_facts import FACTS
from ramferry.control.archive.archive_settings import restore_settings, save_settings
from ramferry.control.archive.save import receive_settings
from ramferry.control.archive.wish import SaveWish
from ramferry.transport.address import UnixAddress


def test_a_save_asks_nobody_to_agree_to_the_switchover() -> None:
    on = replace(FACTS, capabilities={**FACTS.capabilities, "switchover-ack": True})
    assert save_settings(on, 4, pause=False).capabilities["switchover-ack"] is False
    assert "switchover-ack" not in save_settings(FACTS, 4, pause=False).capabilities


def test_a_destination_is_told_in_which_method_a_file_comes() -> None:
    wanted = restore_settings(FACTS, "zstd", 3)
    assert wanted.parameters == {"multifd-channels": 3, "multifd-compression": "zstd"}
    assert wanted.capabilities["return-path"] is True


def test_a_save_without_channels_sends_its_pages_on_main() -> None:
    facts = replace(FACTS, capabilities={**FACTS.capabilities, "multifd": True})
    wanted = save_settings(facts, 0, pause=False)
    assert wanted.parameters == {"max-bandwidth": 0}
    assert wanted.capabilities["multifd"] is False
    assert wanted.capabilities["return-path"] is True
    wanted = save_settings(facts, 3, pause=False)
    assert wanted.parameters["multifd-channels"] == 3
    assert wanted.capabilities["multifd"] is True


@pytest.mark.parametrize("spins", [True, False])
@pytest.mark.parametrize("state", ["running", "paused"])
def test_no_outcome_is_kept_of_a_save(spins: bool, state: str) -> None:
    """A relay that was lost does not ask: the QEMU is asked at its monitor."""
    facts = SimpleNamespace(spins=spins, run_state=state, uuid=None)
    party = SimpleNamespace(host=SimpleNamespace(apart=False))
    wish = SaveWish(Path("vm.state"), "zstd", channels=2)
    source = SimpleNamespace(facts=facts, party=party)
    made = receive_settings(source, wish, UnixAddress("in"))  # type: ignore[arg-type]
    assert made.decide == 0
    assert made.channels == (0 if spins else 2)
