"""What has happened is told, also where nobody can be told."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from fakes_qmp import FakeQemu
from fakes_saving import SavingQemu

Deaf = Callable[[], AbstractContextManager[int]]
"""A standard output that takes nothing."""

FULL = Path("/dev/full")


@contextmanager
def broken_pipe() -> Iterator[int]:
    """The writing end of a pipe whose reader has gone away."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


@contextmanager
def full_disk() -> Iterator[int]:
    descriptor = os.open(FULL, os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def ramferry(*arguments: object, stdout: int) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ramferry", *map(str, arguments)]
    return subprocess.run(
        line, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=30
    )


def migrated(folder: Path, document: Path, stdout: int) -> subprocess.CompletedProcess[str]:
    """A migration between two scripted QEMUs, which completes."""
    with (
        FakeQemu(folder / "s") as source,
        FakeQemu(folder / "d", run_state="inmigrate") as destination,
    ):
        source.peer = destination
        options = ("--method", "none", "--json", document)
        return ramferry("migrate", source.uri, destination.uri, *options, stdout=stdout)


@pytest.mark.parametrize(
    ("deaf", "why"), [(broken_pipe, errno.EPIPE), (full_disk, errno.ENOSPC)], ids=["pipe", "full"]
)
def test_a_table_that_nobody_takes_costs_neither_document_nor_sentence(
    tmp_path: Path, deaf: Deaf, why: int
) -> None:
    document = tmp_path / "r.json"
    with deaf() as stdout:
        ended = migrated(tmp_path, document, stdout)
    assert ended.returncode == 8
    sentence = f"ramferry: completed, but cannot print the table: {os.strerror(why)}"
    assert ended.stderr.splitlines()[-1] == sentence
    assert json.loads(document.read_text())["results"][0]["method"] == "none"


def test_a_document_without_room_does_not_read_as_a_failed_migration(tmp_path: Path) -> None:
    ended = migrated(tmp_path, FULL, subprocess.PIPE)
    assert ended.returncode == 8
    sentence = "ramferry: completed, but cannot write the JSON document: No space left on device"
    assert ended.stderr.splitlines()[-1] == sentence
    assert "through-" in ended.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("plan", "memory"), ("doctor",)])
def test_output_into_a_full_disk_is_one_sentence(arguments: tuple[str, ...]) -> None:
    with full_disk() as stdout:
        ended = ramferry(*arguments, stdout=stdout)
    assert ended.returncode == 8
    assert ended.stderr == "ramferry: cannot write the output: No space left on device\n"


def test_overlays_that_cannot_be_printed_are_told_all_the_same(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.touch()
    with SavingQemu(tmp_path / "qmp", (image,), channels=4) as qemu, full_disk() as stdout:
        ended = ramferry("save", qemu.uri, tmp_path / "state", "--disk-snapshot", stdout=stdout)
    assert ended.returncode == 8
    assert (tmp_path / "state").exists()
    sentence = ended.stderr.splitlines()[-1]
    assert sentence.startswith("ramferry: completed, but cannot print the table: No space left")
    assert f"the guest's disks are on overlays, {image}.overlay-1.qcow2 over {image} (" in sentence


def test_a_save_file_is_no_stream(tmp_path: Path) -> None:
    with FakeQemu(tmp_path / "qmp") as qemu:
        ended = ramferry("save", qemu.uri, "-", stdout=subprocess.PIPE)
        assert qemu.executed == []
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "ramferry: a save file is no stream, so it cannot go to standard output: name FILE\n"
    )


def test_a_closed_standard_output_leaves_standard_error(tmp_path: Path) -> None:
    line = 'exec "$@" >&-'
    with SavingQemu(tmp_path / "qmp", channels=4) as qemu:
        save = [sys.executable, "-m", "ramferry", "save", qemu.uri, str(tmp_path / "state")]
        ended = subprocess.run(
            ["sh", "-c", line, "-", *save], stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 0
    assert ended.stderr.startswith("saved pc-i440fx-7.2 in ")
    assert ended.stderr.endswith("then `cont` at its monitor lets it run on\n")
