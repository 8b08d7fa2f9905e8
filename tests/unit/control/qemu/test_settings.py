"""What is set, and that it is undone to exactly what was there."""

from dataclasses import replace

from ramferry.control.migrate.route import RelayStep, Route, Wish
from ramferry.control.qemu.probe import QemuFacts
from ramferry.control.qemu.settings import (
    Settings,
    capability_list,
    destination_settings,
    difference,
    restore_settings,
    save_settings,
    source_settings,
)

FACTS = QemuFacts(
    version=(7, 2, 22),
    methods=frozenset({"none", "zlib", "zstd"}),
    capabilities={"multifd": False, "return-path": True, "xbzrle": True, "events": False},
    parameters={
        "multifd-channels": 2,
        "multifd-compression": "none",
        "multifd-zlib-level": 1,
        "downtime-limit": 300,
        "max-bandwidth": 134217728,
    },
    run_state="running",
    migration="none",
    listening=None,
    vcpu_threads=(1,),
)
BUILT_IN = Route("QEMU built-in", "tcp:h:1", "tcp:h:1", (), "zlib", "zlib")
PAIR = Route(
    "relay pair", "unix:/d", "unix:/d", (RelayStep("source", "unix:/s", "zlib", 6),), "none", "none"
)


def test_built_in_sets_the_method_and_its_level_on_the_source() -> None:
    wanted = source_settings(FACTS, BUILT_IN, Wish("zlib", level=6, downtime_limit_ms=100), FACTS)
    assert wanted.parameters == {
        "multifd-channels": 8,
        "multifd-compression": "zlib",
        "multifd-zlib-level": 6,
        "downtime-limit": 100,
        "max-bandwidth": 0,
    }
    assert wanted.capabilities == {
        "xbzrle": False,
        "multifd": True,
        "return-path": True,
        "events": True,
    }


def test_with_a_relay_the_level_is_the_relays() -> None:
    wanted = source_settings(FACTS, PAIR, Wish("zlib", level=6), FACTS)
    assert "multifd-zlib-level" not in wanted.parameters
    assert wanted.parameters["multifd-compression"] == "none"


def test_a_cap_of_the_sources_own_is_its_max_bandwidth() -> None:
    capped = replace(BUILT_IN, source_method="none", source_bandwidth=125_000_000)
    assert (
        source_settings(FACTS, capped, Wish("none"), FACTS).parameters["max-bandwidth"]
        == 125_000_000
    )


def test_the_destination_needs_channels_and_method_only() -> None:
    wanted = destination_settings(FACTS, BUILT_IN, Wish("zlib", channels=4), FACTS)
    assert wanted.parameters == {"multifd-channels": 4, "multifd-compression": "zlib"}
    assert wanted.capabilities["multifd"] is True


def test_switchover_ack_is_the_sources_choice_where_both_know_it() -> None:
    """A source with it waits for good for a destination without it."""
    on, off = (
        replace(FACTS, capabilities={**FACTS.capabilities, "switchover-ack": state})
        for state in (True, False)
    )
    wish = Wish("none")
    for here, there in ((on, on), (on, off), (off, on), (off, off)):
        source = source_settings(here, BUILT_IN, wish, there).capabilities
        destination = destination_settings(there, BUILT_IN, wish, here).capabilities
        assert "switchover-ack" not in source
        assert destination["switchover-ack"] is here.capabilities["switchover-ack"]
    assert source_settings(on, BUILT_IN, wish, FACTS).capabilities["switchover-ack"] is False
    assert destination_settings(on, BUILT_IN, wish, FACTS).capabilities["switchover-ack"] is False
    assert "switchover-ack" not in destination_settings(FACTS, BUILT_IN, wish, on).capabilities
    assert "switchover-ack" not in source_settings(FACTS, BUILT_IN, wish, FACTS).capabilities


def test_a_save_asks_nobody_to_agree_to_the_switchover() -> None:
    on = replace(FACTS, capabilities={**FACTS.capabilities, "switchover-ack": True})
    assert save_settings(on, 4, pause=False).capabilities["switchover-ack"] is False
    assert "switchover-ack" not in save_settings(FACTS, 4, pause=False).capabilities


def test_only_differences_are_set_and_set_back() -> None:
    change, undo = difference(
        source_settings(FACTS, BUILT_IN, Wish("zlib", channels=2), FACTS), FACTS
    )
    assert change == Settings(
        {"xbzrle": False, "multifd": True, "events": True},
        {"multifd-compression": "zlib", "max-bandwidth": 0},
    )
    assert undo == Settings(
        {"xbzrle": True, "multifd": False, "events": False},
        {"multifd-compression": "none", "max-bandwidth": 134217728},
    )


def test_what_a_qemu_lacks_is_set_for_it_to_refuse_and_never_set_back() -> None:
    bare = replace(FACTS, capabilities={}, parameters={})
    change, undo = difference(Settings({"multifd": True}, {"multifd-channels": 8}), bare)
    assert change == Settings({"multifd": True}, {"multifd-channels": 8})
    assert undo.empty


def test_capabilities_as_qmp_takes_them() -> None:
    assert capability_list({"multifd": True}) == [{"capability": "multifd", "state": True}]


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
