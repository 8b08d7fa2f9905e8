"""What replies of real QEMUs mean."""

from typing import Any

import pytest

from fakes_qmp import FakeQemu, schema
from ramferry.control.qemu.probe import methods_of, migration_of, probe, uri_of
from ramferry.control.qemu.qmp import Qmp
from ramferry.errors import PeerUnreachable


def test_methods_are_reached_from_the_command_because_type_names_are_masked() -> None:
    assert methods_of(schema(["none", "zlib"])) == {"none", "zlib"}


def test_a_qemu_without_multifd_has_no_methods() -> None:
    entries = schema([])
    entries[1]["members"] = [{"name": "max-bandwidth", "type": "int"}]
    assert methods_of(entries) == frozenset()


@pytest.mark.parametrize(
    ("reply", "status", "listening"),
    [
        ({}, "none", None),
        ({"status": "active"}, "active", None),
        # 7.2 with -incoming tcp:127.0.0.1:0
        (
            {
                "socket-address": [
                    {"port": "38023", "ipv4": True, "host": "127.0.0.1", "type": "inet"}
                ]
            },
            "none",
            "tcp:127.0.0.1:38023",
        ),
        ({"socket-address": [{"type": "fd", "str": "3"}]}, "none", None),
    ],
)
def test_query_migrate(reply: dict[str, Any], status: str, listening: str | None) -> None:
    assert migration_of(reply) == {"migration": status, "listening": listening, "blocked": ()}


def test_addresses_become_migration_uris() -> None:
    assert uri_of({"type": "inet", "host": "::1", "port": "49152"}) == "tcp:[::1]:49152"
    assert uri_of({"type": "unix", "path": "/run/d.sock"}) == "unix:/run/d.sock"
    assert uri_of({"type": "vsock", "cid": "3", "port": "1"}) is None
    assert uri_of({"type": "inet", "host": "::1"}) is None
    assert uri_of({"type": "inet", "host": "::1", "port": "odd"}) is None


def test_probe_asks_everything(tmp_path: Any) -> None:
    with FakeQemu(tmp_path / "q", version=(10, 0, 2)) as qemu, Qmp.connect(qemu.uri) as qmp:
        facts = probe(qmp)
    assert facts.version == (10, 0, 2)
    assert facts.name == "QEMU 10.0.2"
    assert facts.methods == {"none", "zlib", "zstd"}
    assert facts.capabilities["multifd"] is False
    assert facts.parameters["multifd-channels"] == 2
    assert (facts.run_state, facts.migration, facts.listening) == ("running", "none", None)
    assert len(facts.vcpu_threads) == 1


@pytest.mark.parametrize(
    ("version", "levels", "bytes_"),
    [((7, 2, 22), False, False), ((9, 0, 0), True, False), ((10, 0, 13), True, True)],
)
def test_what_only_the_version_tells(
    version: tuple[int, int, int], levels: bool, bytes_: bool, tmp_path: Any
) -> None:
    with FakeQemu(tmp_path / "q", version=version) as qemu, Qmp.connect(qemu.uri) as qmp:
        facts = probe(qmp)
    assert facts.heeds_levels is levels
    assert facts.counts_wire_bytes is bytes_


def test_something_else_that_speaks_qmp_is_refused(tmp_path: Any) -> None:
    """qemu-ga and other QMP speakers answer with other shapes."""

    class Agent(FakeQemu):
        def _do_query_version(self) -> dict[str, Any]:
            return {"version": "guest agent"}

    with (
        Agent(tmp_path / "q") as agent,
        Qmp.connect(agent.uri) as qmp,
        pytest.raises(PeerUnreachable, match="is not a QEMU: query-version got no valid reply"),
    ):
        probe(qmp)
