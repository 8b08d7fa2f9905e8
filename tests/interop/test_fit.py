"""Real QEMUs that do not fit each other: made to fit, or refused before anything is touched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from migrating import MIB, Pair, assert_same_ram, run_state

from ramferry.bench.builtin import BuiltIn
from ramferry.bench.fill import fill
from ramferry.bench.qemu import Qemu

pytestmark = pytest.mark.interop

MEMORY = 32 * MIB
BOTH = pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
NEW = pytest.mark.parametrize("pair", ["10.0"], indirect=True)

UUID = ("-uuid", "00112233-4455-6677-8899-aabbccddeeff")
OTHER = ("-uuid", "10112233-4455-6677-8899-aabbccddeeff")
DIMM = ("-object", "memory-backend-ram,id=m1,size=128M", "-device", "pc-dimm,memdev=m1")
SLOTS = ("-m", "32M,slots=2,maxmem=1G")
BALLOON = ("-device", "virtio-balloon-pci")
BLOCKER = (
    *("-object", "memory-backend-ram,id=shared,size=1M,share=on"),
    *("-device", "ivshmem-plain,memdev=shared,master=off"),
)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ramferry", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)


@contextmanager
def two(
    pair: Pair,
    source: tuple[str, ...] = (),
    destination: tuple[str, ...] = (),
    memory: int = MEMORY,
    machines: tuple[str | None, str | None] = (None, None),
) -> Iterator[tuple[Qemu, Qemu]]:
    """A source and a destination, each with options of its own."""
    with (
        Qemu(pair.source, MEMORY, machine=machines[0] or pair.machine, options=source) as one,
        Qemu(
            pair.destination,
            memory,
            machine=machines[1] or pair.machine,
            options=destination,
            incoming=True,
        ) as other,
    ):
        yield one, other


def assert_untouched(source: Qemu, destination: Qemu) -> None:
    assert (run_state(source), run_state(destination)) == ("prelaunch", "inmigrate")
    for qemu in (source, destination):
        info = qemu.qmp.execute("query-migrate")
        assert not {"status", "socket-address"} & set(info)
        on = {c["capability"] for c in qemu.qmp.execute("query-migrate-capabilities") if c["state"]}
        assert "multifd" not in on


def test_a_clone_with_another_uuid_migrates(pair: Pair) -> None:
    with two(pair, UUID, OTHER) as (source, destination):
        fill(source.ram)
        ended = run("migrate", source.uri, destination.uri, "--method", "zstd", "--json", "-")
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["results"][0]["route"] == "source relay"
        assert_same_ram(source, destination)


@BOTH
def test_without_a_relay_it_is_refused_by_both_uuids(pair: Pair) -> None:
    with two(pair, UUID) as (source, destination):
        ended = run(
            *("migrate", source.uri, destination.uri), *("--method", "zstd", "--relay", "none")
        )
        assert ended.returncode == 4
        assert UUID[1] in ended.stderr
        assert "00000000-0000-0000-0000-000000000000" in ended.stderr
        assert_untouched(source, destination)


@BOTH
@pytest.mark.parametrize("destination_uuid", [(), OTHER], ids=["without", "another"])
def test_a_file_of_a_guest_with_another_uuid(
    pair: Pair, tmp_path: Path, destination_uuid: tuple[str, ...]
) -> None:
    with two(pair, UUID, destination_uuid) as (source, destination):
        fill(source.ram)
        assert run("save", source.uri, tmp_path / "state").returncode == 0
        ended = run("restore", tmp_path / "state", destination.uri)
        assert ended.returncode == 0, ended.stderr
        assert_same_ram(source, destination)


@BOTH
def test_where_the_source_validates_uuids_another_one_is_refused(
    pair: Pair, tmp_path: Path
) -> None:
    on = {"capabilities": [{"capability": "validate-uuid", "state": True}]}
    with two(pair, UUID, OTHER) as (source, destination):
        source.qmp.execute("migrate-set-capabilities", on)
        ended = run("migrate", source.uri, destination.uri)
        assert (ended.returncode, "validate-uuid" in ended.stderr) == (2, True)
        assert_untouched(source, destination)
        assert run("save", source.uri, tmp_path / "state").returncode == 0
        ended = run("restore", tmp_path / "state", destination.uri)
        assert (ended.returncode, UUID[1] in ended.stderr) == (2, True)
        assert run_state(destination) == "inmigrate"


@pytest.mark.parametrize("pair", ["stock-10.0"], indirect=True)
def test_an_alias_that_means_another_machine_there(pair: Pair) -> None:
    with two(pair, machines=("pc", "pc")) as (source, destination):
        ended = run("migrate", source.uri, destination.uri)
        assert ended.returncode == 2
        names = (f"pc-i440fx-{binary.name}" for binary in (pair.source, pair.destination))
        assert all(name in ended.stderr for name in names)
        assert_untouched(source, destination)


@pytest.mark.parametrize(
    ("pair", "source", "destination", "memory", "sentence"),
    [
        ("stock", (), (), MEMORY // 2, "32 MiB.*16 MiB: start it with -m 32M"),
        ("10.0", (), ("-smp", "2"), MEMORY, "1 vCPU, .* 2: start it with -smp 1"),
        ("10.0", SLOTS, (*SLOTS, *DIMM), MEMORY, "m1.*start it with"),
    ],
    indirect=["pair"],
)
def test_sizes_that_do_not_fit(
    pair: Pair,
    source: tuple[str, ...],
    destination: tuple[str, ...],
    memory: int,
    sentence: str,
    tmp_path: Path,
) -> None:
    with two(pair, source, destination, memory) as (one, other):
        ended = run("migrate", one.uri, other.uri)
        assert ended.returncode == 2, ended.stderr
        assert re.search(sentence, ended.stderr), ended.stderr
        assert_untouched(one, other)
        assert run("save", one.uri, tmp_path / "state").returncode == 0
        ended = run("restore", tmp_path / "state", other.uri)
        assert ended.returncode == 2, ended.stderr
        assert re.search(sentence, ended.stderr), ended.stderr
        assert run_state(other) == "inmigrate"


@NEW
def test_equal_memory_devices_fit(pair: Pair, tmp_path: Path) -> None:
    options = (*SLOTS, *DIMM, "-smp", "2")
    with two(pair, options, options) as (source, destination):
        fill(source.ram)
        assert run("save", source.uri, tmp_path / "state").returncode == 0
        ended = run("restore", tmp_path / "state", destination.uri)
        assert ended.returncode == 0, ended.stderr
        assert_same_ram(source, destination)


@NEW
@pytest.mark.parametrize("command", ["migrate", "restore"])
def test_a_destination_that_refuses_is_quoted_and_ends(
    pair: Pair, tmp_path: Path, command: str
) -> None:
    with two(pair, BALLOON) as (source, destination):
        what: object = source.uri
        if command == "restore":
            what = tmp_path / "state"
            assert run("save", source.uri, what).returncode == 0
        ended = run(command, what, destination.uri)
        assert ended.returncode == 5
        assert "load of migration failed: Invalid argument, see its log" in ended.stderr
        assert "Unknown savevm section" in destination.stderr()
        assert destination.process.wait(10) == 0


@BOTH
def test_a_guest_that_cannot_leave_is_left_alone(pair: Pair, tmp_path: Path) -> None:
    with two(pair, BLOCKER) as (source, destination):
        for line in (
            ("migrate", source.uri, destination.uri),
            ("save", source.uri, tmp_path / "state"),
        ):
            ended = run(*line)
            assert ended.returncode == 4, ended.stderr
            assert "'peer mode' in device 'ivshmem'" in ended.stderr
        assert_untouched(source, destination)
        assert not (tmp_path / "state").exists()


@NEW
def test_a_built_in_guest_is_another_machine(pair: Pair) -> None:
    with (
        BuiltIn(MEMORY, ["--paused"]) as source,
        Qemu(pair.destination, MEMORY, incoming=True) as destination,
    ):
        ended = run("migrate", source.uri, destination.uri)
        assert ended.returncode == 2
        assert "ramferry-1" in ended.stderr
        assert run_state(destination) == "inmigrate"
        assert "status" not in destination.qmp.execute("query-migrate")


def test_a_built_in_guest_comes_back_where_its_memory_fits(tmp_path: Path) -> None:
    with (
        BuiltIn(MEMORY, []) as source,
        BuiltIn(MEMORY * 2, ["--incoming", "defer"]) as larger,
        BuiltIn(MEMORY, ["--incoming", "defer"]) as same,
    ):
        assert run("save", source.uri, tmp_path / "state").returncode == 0
        ended = run("restore", tmp_path / "state", larger.uri)
        assert (ended.returncode, "with --memory 32M" in ended.stderr) == (2, True)
        ended = run("restore", tmp_path / "state", same.uri)
        assert ended.returncode == 0, ended.stderr
        assert same.qmp.execute("query-status")["status"] == "running"
