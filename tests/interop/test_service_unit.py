"""The unit of packaging/systemd, as systemd reads it, and relays under what it allows.

``confining`` has the kernel do to a relay what systemd has it do: the same system calls allowed, no
memory that is written and executed, no new privileges, a read-only file system.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import confining
from certificates import authority, complete
from confining import UNIT
from fakes_destination import FakeDestination, Habits
from fakes_manager import Served
from fakes_relay import until
from fakes_source import FakeSource
from fakes_wire import MAIN, Guest, Script
from ramferry.transport.address import UnixAddress
from ramferry.vocabulary import METHOD_FLAGS

pytestmark = pytest.mark.interop

MOST_EXPOSED = 2.0
SLOW = 60.0
"""Seconds for what takes one, on a busy machine."""
FORBIDDEN = re.compile(r"Traceback|not permitted|Permission|Read-only|protocol not supported")


@pytest.fixture
def analyze(require_peer: Callable[[str], Path]) -> Path:
    return require_peer("systemd-analyze")


def test_the_unit_is_hardened(analyze: Path) -> None:
    told = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"Overall exposure level .*: (\d+\.\d+)", told)
    assert found, told
    assert float(found[1]) <= MOST_EXPOSED, told


def test_systemd_knows_every_setting(analyze: Path) -> None:
    ended = subprocess.run(
        [analyze, "verify", "--man=no", UNIT], capture_output=True, text=True, check=False
    )
    # the command is where the package puts it, and perhaps not here
    lines = [
        line for line in ended.stderr.splitlines() if "Command ramferry is not exec" not in line
    ]
    assert lines == []


def test_the_unit_says_what_relays_are_tried_under() -> None:
    unit = confining.settings()
    for name in (
        "NoNewPrivileges",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "RestrictNamespaces",
    ):
        assert unit[name] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["SystemCallErrorNumber"] == ["EPERM"]
    assert unit["CapabilityBoundingSet"] == [""]
    # what waits with a source's connections if the relay is killed has to outlive it
    assert unit["KillMode"] == ["process"]
    assert unit["Type"] == ["notify"]
    # where it runs as QEMU's user, that would take the memory of guests in /dev/shm
    assert "RemoveIPC" not in unit


@dataclass(frozen=True, slots=True)
class Confined:
    """Two relays between a source and a destination, in a folder that alone they may write to."""

    folder: Path
    near: Served
    far: Served
    pki: Path

    @contextmanager
    def ends(
        self, script: Script, habits: Habits | None = None
    ) -> Iterator[tuple[FakeSource, FakeDestination]]:
        place = UnixAddress(str(self.folder / "destination"))
        destination = FakeDestination(place, script.guest, "none", habits)
        source = FakeSource(UnixAddress(str(self.folder / "source")), script)
        try:
            yield source, destination
        finally:
            source.close()
            destination.close()
            Path(place.path).unlink()

    def carry(self) -> None:
        script = Script(Guest())
        with self.ends(script) as (source, destination):
            until(lambda: source.shut is not None or source.ended.is_set(), SLOW, "an answer")
            assert source.status == "completed", self.near.said() + self.far.said()
            assert destination.memory == script.memory

    def complaints(self) -> list[str]:
        """What the unit forbade, as the relays say it."""
        lines = (self.near.said() + self.far.said()).splitlines()
        return [line for line in lines if FORBIDDEN.search(line)]


def need_libseccomp() -> None:
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp.so.2 is not here (Debian: libseccomp2)")


@contextmanager
def confined(
    analyze: Path, folder: Path, method: str, writable: Path | None = None
) -> Iterator[Confined]:
    need_libseccomp()
    pki = complete(folder / "pki", authority())
    profile = folder / "profile"
    profile.write_text(json.dumps(confining.profile(analyze, writable)))
    under = [sys.executable, confining.__file__, str(profile)]
    place = {"under": under, "tls_creds": str(pki)}
    with ExitStack() as stack:
        far = stack.enter_context(
            Served(
                folder,
                "far",
                **place,
                listen="relay:127.0.0.1:0",
                connect=f"unix:{folder}/destination",
                method="none",
            )
        )
        near = stack.enter_context(
            Served(
                folder,
                "near",
                **place,
                listen=f"unix:{folder}/source",
                connect=far.ready(),
                method=method,
                json=str(folder / "results"),
                drain=SLOW,
            )
        )
        near.ready()
        yield Confined(folder, near, far, pki)


@pytest.mark.parametrize("method", METHOD_FLAGS)
def test_carries_under_the_units_filter(analyze: Path, tmp_path: Path, method: str) -> None:
    with confined(analyze, tmp_path, method) as pair:
        status = Path(f"/proc/{pair.near.child.pid}/status").read_text()
        assert "\nSeccomp:\t2\n" in status
        assert "\nNoNewPrivs:\t1\n" in status
        pair.carry()
        for one in (pair.near, pair.far):
            one.child.terminate()
            assert one.end() == 0, one.said()
        assert pair.complaints() == []
        assert json.loads((tmp_path / "results").read_text())["completed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a file system read-only")
def test_a_life_under_a_read_only_file_system(analyze: Path, tmp_path: Path) -> None:
    """A migration, a reload, one whose source is killed, one more, and a drain."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be made here")
    with confined(analyze, tmp_path, "qatzip", writable=tmp_path) as pair:
        pair.carry()
        complete(pair.pki, authority())
        for one in (pair.near, pair.far):
            one.child.send_signal(signal.SIGUSR1)
            one.notes("new connections use the certificates as they are now")
        pair.carry()
        script = Script(Guest())
        del script.steps[script.find("part", MAIN) :]
        with pair.ends(script) as (source, _):
            assert source.done.wait(SLOW)
            source.close()
            pair.near.notes("failed: ")
        pair.carry()
        pair.near.child.terminate()
        assert pair.near.end() == 0
        assert pair.complaints() == []


def test_who_stands_by_asks_for_a_relay_that_was_killed(analyze: Path, tmp_path: Path) -> None:
    """Under the filter it is started, outlives the relay, and finds out that the guest arrived."""
    reached, go_on = threading.Event(), threading.Event()

    def hesitate() -> None:
        reached.set()
        assert go_on.wait(SLOW)

    with confined(analyze, tmp_path, "zstd") as pair:
        script = Script(Guest())
        with pair.ends(script, Habits(before_answer=hesitate)) as (source, destination):
            assert reached.wait(SLOW), pair.near.said() + pair.far.said()
            pair.near.child.kill()
            pair.near.end()
            go_on.set()
            until(lambda: source.shut is not None or source.ended.is_set(), SLOW, "an answer")
            assert source.status == "completed", pair.near.said() + pair.far.said()
            assert destination.complete
        assert pair.complaints() == []
