"""The note on little room: what it compares, and when it keeps silent."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ramferry.control.archive import free_space
from ramferry.control.archive.free_space import memory_in_use, room_note
from ramferry.control.hosts.process import Process
from ramferry.control.qemu.end import QemuEnd
from ramferry.errors import MethodUnavailable

MIB = 1 << 20


class Answers:
    def __init__(self, *, share: bool, pid: int | None = None, plugged: int = 0) -> None:
        self.party = SimpleNamespace(process=None if pid is None else Process(pid))
        self._answers: dict[str, Any] = {
            "query-memory-size-summary": {"base-memory": 64 * MIB, "plugged-memory": plugged},
            "query-memdev": [{"share": False}, {"share": share}],
        }

    def execute(self, command: str) -> object:
        return self._answers[command]


def used(answers: Answers) -> int | None:
    return memory_in_use(cast(QemuEnd, answers))


def test_memory_of_its_own_counts_as_far_as_it_is_resident(monkeypatch: pytest.MonkeyPatch) -> None:
    status = "VmHWM:\t 99999 kB\nVmRSS:\t 2048 kB\nVmSwap:\t 1024 kB\nHugetlbPages:\t 4096 kB\n"
    monkeypatch.setattr(Path, "read_text", lambda _: status)
    assert used(Answers(share=False, pid=1)) == 7 * MIB


def test_a_real_process_is_read() -> None:
    found = used(Answers(share=False, pid=os.getpid(), plugged=1 << 50))
    assert found is not None
    assert MIB < found < 1 << 40


def test_it_is_never_more_than_the_guest_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: "VmRSS: 9999999 kB\n")
    assert used(Answers(share=False, pid=1, plugged=MIB)) == 65 * MIB


@pytest.mark.parametrize("answers", [Answers(share=True, pid=1), Answers(share=False)])
def test_shared_memory_and_a_qemu_elsewhere_count_in_full(answers: Answers) -> None:
    assert used(answers) == 64 * MIB


def test_a_qemu_that_does_not_tell() -> None:
    class Deaf(Answers):
        def execute(self, command: str) -> object:
            raise MethodUnavailable(command)

    deaf = cast(QemuEnd, Deaf(share=True))
    assert memory_in_use(deaf) is None
    assert room_note(deaf, Path("/nowhere/state")) == ""
    assert room_note(deaf, Path("state")) == ""


@pytest.mark.parametrize(("free", "told"), [(64 * MIB, False), (64 * MIB - 1, True), (0, True)])
def test_the_note(monkeypatch: pytest.MonkeyPatch, free: int, told: bool) -> None:
    system = SimpleNamespace(f_bavail=free, f_frsize=1)
    monkeypatch.setattr(free_space.os, "statvfs", lambda _: system)
    note = room_note(cast(QemuEnd, Answers(share=True)), Path("folder/state"))
    assert bool(note) == told
    if told:
        assert note.startswith("the file system of folder/state has ")
        share = "100%" if free else "less than 1%"
        assert f"uses up to 64 MiB: where that does not compress to {share} of it, " in note


@pytest.mark.parametrize(("free", "full"), [(100, False), (99, True), (0, True)])
def test_nearly_full(monkeypatch: pytest.MonkeyPatch, free: int, full: bool) -> None:
    system = SimpleNamespace(f_bavail=free, f_blocks=1000)
    monkeypatch.setattr(free_space.os, "statvfs", lambda _: system)
    assert free_space.nearly_full(Path("folder/state")) is full
