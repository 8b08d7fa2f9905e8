"""What is told of recorded migrations and save files, sound and damaged."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from test_archive import saved

from fakes_wire import MAIN, Guest, Script, end_of_stream
from ramferry.errors import UsageError
from ramferry.flows.archive.reader import Archive
from ramferry.flows.inspection import inspect, inspect_archive, inspect_folder
from ramferry.flows.recording import devices_of

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
GUEST = Guest(method="zstd", mode="section", rounds=4, packets=3, pages=20, zeros=4)
NORMAL, ZERO = 4 * 2 * 3 * 20, 4 * 2 * 3 * 4
"""Rounds, channels, packets, pages of each."""
WHOLE = replace(GUEST, whole=True)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A folder with every connection of a migration."""
    script = Script(GUEST)
    for name, where in (("a-channel", 1), ("b-main", MAIN), ("c-channel", 0)):
        (tmp_path / name).write_bytes(script.stream(where))
    (tmp_path / "notes.txt").write_text("not a recording")
    return tmp_path


def test_a_recording_is_counted(recording: Path) -> None:
    found = inspect_folder(recording)
    assert (found.kind, found.machine, found.method) == ("recording", "pc-i440fx-7.2", "zstd")
    assert (found.rounds, found.fault) == (5, "")
    ram, tables = found.blocks
    assert (ram.name, ram.size, ram.pages, ram.zero_pages) == ("pc.ram", 1 << 20, NORMAL, ZERO)
    # 256 pages at most are new, and all the others come again
    assert NORMAL + ZERO - 256 <= ram.repeated < NORMAL + ZERO
    assert ram.ratio == pytest.approx(NORMAL * 4096 / ram.payload_bytes)
    assert tables.pages == tables.repeated == 0
    main, first, second = found.channels
    assert (main.name, main.size) == ("main", (recording / "b-main").stat().st_size)
    assert [first.name, second.name] == ["multifd 1", "multifd 0"]
    assert (first.method, first.packets, first.syncs) == ("zstd", 3 * 4 + 5, 5)


def test_a_channel_alone_is_counted(recording: Path) -> None:
    with (recording / "c-channel").open("rb") as file:
        found = inspect(file)
    assert found.kind == "multifd channel"
    (block,) = found.blocks
    assert (block.size, block.pages, block.zero_pages) == (0, NORMAL // 2, ZERO // 2)
    assert found.fault == ""


@pytest.mark.parametrize(
    ("name", "zero", "devices"), [("7.2-microvm", 1014, 14), ("10.0-microvm", 0, 14)]
)
def test_a_real_main_channel(name: str, zero: int, devices: int) -> None:
    found = inspect(io.BytesIO((GOLDEN / f"{name}.main").read_bytes()))
    assert (found.machine, found.rounds, found.fault) == ("microvm", 3, "")
    ram = next(block for block in found.blocks if block.name == "microvm.ram")
    assert (ram.zero_pages, ram.size) == (zero, 4 << 20)
    assert len(found.devices) == devices
    assert tuple(
        getattr(found.devices[0], field) for field in ("name", "instance", "version", "size")
    ) == ("timer", 0, 2, 24)


@pytest.mark.parametrize(
    ("where", "at", "fault"),
    [
        (0, 64 + 1, "multifd 0 packet 0: expected magic 11223344, received .*"),
        (0, -5, ""),
        (MAIN, 0x09, "main: expected .*"),
        (MAIN, 153, "main: expected the footer .*"),
    ],
)
def test_damage_is_named_and_what_came_before_is_told(where: int, at: int, fault: str) -> None:
    raw = bytearray(Script(GUEST).stream(where))
    raw[at] ^= 0x40
    found = inspect(io.BytesIO(raw))

    assert re.match(fault, found.fault), found.fault
    assert found.channels[0].size > 0


@pytest.mark.parametrize("where", [MAIN, 0])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.999])
def test_a_cut_is_named(where: int, part: float) -> None:
    raw = Script(GUEST).stream(where)
    found = inspect(io.BytesIO(raw[: int(len(raw) * part)]))
    assert found.fault


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a save file nor a recorded"):
        inspect(io.BytesIO(b"hello"))
    with pytest.raises(UsageError, match="holds no recorded migration channel"):
        inspect_folder(tmp_path)


def test_a_save_file_is_told_and_checked(tmp_path: Path) -> None:
    path = saved(tmp_path, Script(WHOLE))
    found = inspect_archive(path)
    assert (found.kind, found.method, found.fault) == ("save file", "qatzip", "")
    assert found.blocks[0].pages == NORMAL
    assert 0 < found.blocks[0].repeated < NORMAL
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    assert "expected CRC" in inspect_archive(path).fault


def test_a_save_file_without_an_index_is_told_as_far_as_can_be(tmp_path: Path) -> None:
    path = saved(tmp_path, Script(WHOLE))
    raw = path.read_bytes()
    with Archive(path) as archive:
        directory = archive.directory
    path.write_bytes(raw[:-100])
    cut = inspect_archive(path)
    assert (cut.kind, cut.size, cut.machine, cut.blocks) == ("save file", len(raw) - 100, "", ())
    assert "the file was cut or damaged; no page can be found in it" in cut.fault
    at = directory.parts["chunks"].offset
    path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    found = inspect_archive(path)
    assert (found.machine, found.method) == ("pc-i440fx-7.2", "qatzip")
    assert (found.page_size, found.created) == (directory.page_size, directory.created)
    assert "the file's part 'chunks', received damaged bytes" in found.fault


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b'{"devices": 7}',
        b'{"devices": [3]}',
        b'{"devices": [{"name": "\xd2"}]}',
        b'{"devices": [{"version": 1e999}]}',
        b'{"devices": [{"fields": [{"size": ' + b"9" * 5000 + b"}]}]}",
        b'{"more": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    ],
    ids=range(9),
)
def test_a_description_that_is_none_has_no_devices(text: bytes) -> None:
    assert devices_of(text) == ()


@pytest.mark.parametrize("size", [40, 0x600, 0x6FF, 0x60006])
def test_the_devices_of_a_save_file_are_found_whatever_the_descriptions_length(
    tmp_path: Path, size: int
) -> None:
    devices = b'{"devices": [{"name": "timer", "version": 2}]}'
    script = Script(WHOLE)
    text = devices[:-1].ljust(size - 1) + b"}" if size > len(devices) else devices
    script.edit(script.find("tail"), lambda raw: bytes(raw).replace(
        end_of_stream(), end_of_stream(text)))  # fmt: skip
    (device,) = inspect_archive(saved(tmp_path, script)).devices
    assert (device.name, device.version) == ("timer", 2)
