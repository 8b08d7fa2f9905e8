"""What a save and a restore set in their QEMU."""

from dataclasses import replace

from fakes_facts import FACTS
from ramferry.control.archive.archive_settings import restore_settings, save_settings


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
