"""The process that stands by: silent after a save that ended, there for a guest that was left."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fakes_qmp import FakeQemu
from ramferry.control.archive.guardian import Guardian
from ramferry.errors import HostError

LEFT = "import os, sys; from ramferry.control.archive.guardian import Guardian\n"
LEFT += "Guardian(sys.argv[1]).__enter__(); os._exit(0)"


class Waiting(FakeQemu):
    """It waits for the switchover, or is on its way there."""

    def __init__(self, path: Path, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.pause_is_off = threading.Event()
        super().__init__(path, capabilities={"pause-before-switchover": True})

    def _do_query_migrate(self) -> dict[str, Any]:
        return {"status": self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]}

    def _do_migrate_cancel(self) -> dict[str, Any]:
        self.statuses = ["cancelling", "cancelled"]
        return {}

    def _do_cont(self) -> dict[str, Any]:
        return {}

    def _do_migrate_set_capabilities(self, capabilities: list[dict[str, Any]]) -> dict[str, Any]:
        self.pause_is_off.set()
        return super()._do_migrate_set_capabilities(capabilities)


@pytest.mark.parametrize(
    ("statuses", "cancels"),
    [
        (["pre-switchover"], 1),
        (["active", "active", "pre-switchover"], 1),
        (["active", "failed"], 0),
        (["none"], 0),
    ],
)
def test_a_guest_that_was_left_is_let_go(tmp_path: Path, statuses: list[str], cancels: int) -> None:
    with Waiting(tmp_path / "qmp", *statuses) as qemu:
        left = subprocess.run(
            [sys.executable, "-c", LEFT, qemu.uri],
            timeout=20,
            check=True,
            stderr=subprocess.PIPE,  # which the guardian has, too, and so this waits for it
            text=True,
        )
        assert qemu.pause_is_off.is_set()
        assert left.stderr.count("may be on overlays (see query-block)") == cancels
        assert qemu.commands() == ["migrate_cancel"] * cancels + ["migrate-set-capabilities"]
        assert qemu.capabilities["pause-before-switchover"] is False


STOPPED = "import os, sys; from ramferry.control.archive.guardian import Guardian\n"
STOPPED += "g = Guardian(sys.argv[1]).__enter__(); g.tell_stopped(); os._exit(0)"


@pytest.mark.parametrize(
    ("statuses", "state", "goes_on"),
    [
        (["none"], "paused", True),  # before the migration began
        (["completed"], "paused", True),  # likewise, behind another one
        (["active", "active", "failed"], "paused", True),
        (["active", "failed"], "postmigrate", True),  # as 7.2 is where it fails at the end
        (["active", "completed"], "postmigrate", False),  # it is in its file
    ],
)
def test_a_guest_that_was_stopped_for_a_killed_save_goes_on(
    tmp_path: Path, statuses: list[str], state: str, goes_on: bool
) -> None:
    with Waiting(tmp_path / "qmp", *statuses) as qemu:
        qemu.run_state = state
        line = [sys.executable, "-c", STOPPED, qemu.uri]
        left = subprocess.run(line, timeout=20, check=True, stderr=subprocess.PIPE, text=True)
        assert ("cont" in qemu.commands()) is goes_on
        assert left.stderr.count("its guest stood still for it: it goes on") == goes_on


def test_a_guest_that_is_gone_with_its_qemu(tmp_path: Path) -> None:
    uri = f"qmp:{tmp_path}/qmp"
    line = [sys.executable, "-c", LEFT, uri]
    left = subprocess.run(line, timeout=20, check=True, stderr=subprocess.PIPE, text=True)
    assert left.stderr == f"ramferry: no QEMU answers at {uri}: No such file or directory\n"


def test_a_save_that_ended_needs_no_guardian(tmp_path: Path) -> None:
    with Waiting(tmp_path / "qmp", "pre-switchover") as qemu:
        with Guardian(qemu.uri) as guardian:
            pass
        assert guardian._process.returncode == 0
        assert qemu.executed == []


def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(HostError, match="cannot start a process: No such file"):
        Guardian("qmp:/x").__enter__()


def test_a_guest_is_let_go_on_also_where_nobody_reads_of_it(tmp_path: Path) -> None:
    with Waiting(tmp_path / "qmp", "failed") as qemu, open("/dev/full", "w") as full:
        qemu.run_state = "paused"
        line = [sys.executable, "-c", STOPPED, qemu.uri]
        subprocess.run(line, timeout=20, check=True, stderr=full)
        assert qemu.pause_is_off.wait(20)
        assert "cont" in qemu.commands()
