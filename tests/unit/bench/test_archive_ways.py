"""Which ways of saving and restoring are compared, and what QEMU is told for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from ramferry.bench.archive_ways import EXEC_ALL_CORES, FILE, MAPPED, ways
from ramferry.bench.archives import Course, table
from ramferry.bench.qemu import QemuBinary


def qemu(*version: int) -> QemuBinary:
    major, minor, micro = version
    return QemuBinary(Path("qemu"), (major, minor, micro))


def zstd_there(command: str) -> str | None:
    return f"/usr/bin/{command}"


def nothing_there(command: str) -> str | None:
    del command
    return None


def test_a_recent_qemu_beside_zstd_can_do_every_way() -> None:
    able, lacking = ways(qemu(10, 0, 0), zstd_there)
    assert [way.name for way in able] == [
        "ramferry save, zstd 1",
        "ramferry save, qatzip 1",
        "ramferry save, none",
        "QEMU exec:zstd -1",
        "QEMU exec:zstd -1 -T0",
        "QEMU file:",
        "QEMU file:, mapped-ram, multifd (libvirt's sparse)",
    ]
    assert lacking == []


@pytest.mark.parametrize(
    ("version", "lacks"), [((8, 1, 5), {FILE, MAPPED}), ((8, 2, 0), {MAPPED}), ((9, 0, 0), set())]
)
def test_an_older_qemu_lacks_ways_and_a_sentence_says_so(
    version: tuple[int, int, int], lacks: set[object]
) -> None:
    able, lacking = ways(qemu(*version), zstd_there)
    assert {FILE, MAPPED} - set(able) == lacks
    assert len(lacking) == len(lacks)
    assert all(f"and this is {version[0]}.{version[1]}" in sentence for sentence in lacking)


def test_without_zstd_no_way_runs_it() -> None:
    able, lacking = ways(qemu(10, 0, 0), nothing_there)
    assert not any("zstd" in way.save_uri for way in able)
    assert lacking == [
        "QEMU exec:zstd -1 is left out: there is no zstd command on this host",
        "QEMU exec:zstd -1 -T0 is left out: there is no zstd command on this host",
    ]


def test_all_cores_compress_into_the_file_and_one_inflates_it() -> None:
    assert EXEC_ALL_CORES.save_uri.format("/f") == "exec:zstd -q -1 -T0 -c > /f"
    assert EXEC_ALL_CORES.restore_uri.format("/f") == "exec:zstd -q -dc /f"
    assert EXEC_ALL_CORES.settings(4) == []


def test_mapped_ram_takes_as_many_channels_as_ours_and_leaves_direct_io_off() -> None:
    assert MAPPED.settings(7) == [
        (
            "migrate-set-capabilities",
            {
                "capabilities": [
                    {"capability": "mapped-ram", "state": True},
                    {"capability": "multifd", "state": True},
                ]
            },
        ),
        ("migrate-set-parameters", {"multifd-channels": 7}),
    ]


def test_what_was_switched_on_is_switched_off_for_the_next_way() -> None:
    ((command, arguments),) = MAPPED.settings(7, on=False)
    assert command == "migrate-set-capabilities"
    assert [one["state"] for one in arguments["capabilities"]] == [False, False]


def test_the_table_shows_medians_and_their_spread() -> None:
    runs = [Course(float(n), 2.0, 3_000_000, 0.5, 0.25) for n in (3, 1, 2)]
    text = table({MAPPED: runs, FILE: []})
    assert "2.00 (1.00-3.00)" in text
    assert MAPPED.name in text
    assert "3.0" in text
    assert len(text.splitlines()) == 2  # a way without a run has no row
