"""What a route sets in its two QEMUs."""

from dataclasses import replace

from fakes_facts import FACTS
from ramferry.control.migrate.route import RelayStep, Route, Wish
from ramferry.control.migrate.route_settings import destination_settings, source_settings

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
        "downtime-limit": 20,
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
