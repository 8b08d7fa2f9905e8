"""What is set, and that it is undone to exactly what was there."""

from dataclasses import replace

from fakes_facts import FACTS
from ramferry.control.migrate.route import Route, Wish
from ramferry.control.migrate.route_settings import source_settings
from ramferry.control.qemu.settings import MigrationSettings, capability_list, difference

BUILT_IN = Route("QEMU built-in", "tcp:h:1", "tcp:h:1", (), "zlib", "zlib")


def test_only_differences_are_set_and_set_back() -> None:
    change, undo = difference(
        source_settings(FACTS, BUILT_IN, Wish("zlib", channels=2), FACTS), FACTS
    )
    assert change == MigrationSettings(
        {"xbzrle": False, "multifd": True, "events": True},
        {"multifd-compression": "zlib", "downtime-limit": 30, "max-bandwidth": 0},
    )
    assert undo == MigrationSettings(
        {"xbzrle": True, "multifd": False, "events": False},
        {"multifd-compression": "none", "downtime-limit": 300, "max-bandwidth": 134217728},
    )


def test_what_is_set_anew_in_mid_migration_is_set_back_though_it_began_as_it_was() -> None:
    there = replace(FACTS, parameters={**FACTS.parameters, "downtime-limit": 30})
    change, undo = difference(MigrationSettings({}, {"downtime-limit": 30}), there)
    assert change.empty
    assert undo.parameters == {"downtime-limit": 30}


def test_what_a_qemu_lacks_is_set_for_it_to_refuse_and_never_set_back() -> None:
    bare = replace(FACTS, capabilities={}, parameters={})
    change, undo = difference(MigrationSettings({"multifd": True}, {"multifd-channels": 8}), bare)
    assert change == MigrationSettings({"multifd": True}, {"multifd-channels": 8})
    assert undo.empty


def test_capabilities_as_qmp_takes_them() -> None:
    assert capability_list({"multifd": True}) == [{"capability": "multifd", "state": True}]
