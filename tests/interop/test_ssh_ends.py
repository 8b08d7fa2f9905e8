"""How a migration by ssh ends before its time: whatever ends it, nothing stays on the far host."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from sshing import CARRIER, OTHER, TAKES_ROOT, TwoHosts, Vm, qemu, until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timed,
    TAKES_ROOT,
]

GONE_SECONDS = 5.0
"""Within which nothing may be left on the far host."""
PULLED_SECONDS = 20.0
"""The same, where it must find out by itself that the cable was pulled, which takes it about 4.5 s;
its sshd alone would take minutes."""


@contextmanager
def under_way(
    hosts: TwoHosts, rate: str, *options: object, megabytes: int = 64
) -> Iterator[tuple[subprocess.Popen[str], Vm, Vm]]:
    """A migration whose memory moves, at a rate that gives time; both its guests."""
    with (
        qemu(hosts, False, CARRIER, None, megabytes=megabytes) as source,
        qemu(hosts, True, OTHER, None, megabytes=megabytes) as destination,
    ):
        line: list[Any] = [hosts.installed, "migrate", f"qmp:{source.path}"]
        line += [f"ssh://nobody@far{destination.path}", "--remote-command", hosts.installed]
        line += ["--method", "none", "--max-bandwidth", rate, *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        moving = hosts.start(False, CARRIER, *line, **pipes)
        until("memory moves", lambda: moved(source) > 1 << 20 or moving.poll() is not None)
        assert moving.poll() is None, moving.stderr and moving.stderr.read()
        assert hosts.left_behind()  # what is to be gone later is there
        yield moving, source, destination
        moving.kill()
        moving.communicate()


def moved(source: Vm) -> int:
    """Bytes that the source has sent."""
    return int(source.qmp.execute("query-migrate").get("ram", {}).get("transferred", 0))


def gone_within(hosts: TwoHosts, seconds: float) -> None:
    """Wait until nothing of Ramferry is on the far host, socket folders included."""
    until("nothing is left there", lambda: not hosts.left_behind(), seconds)
    until("no folder is left", lambda: not folders(OTHER.uid), GONE_SECONDS)


def folders(user: int) -> list[Path]:
    """Folders of sockets that a user's processes made."""
    found = (path for place in ("/run", "/dev/shm", "/tmp") for path in Path(place).iterdir())
    return [path for path in found if path.name.startswith("ramferry.") and owner(path) == user]


def owner(path: Path) -> int:
    try:
        return path.stat().st_uid
    except OSError:
        return -1


def test_the_near_side_is_killed(hosts: TwoHosts) -> None:
    with under_way(hosts, "4M") as (moving, source, _):
        moving.kill()
        gone_within(hosts, GONE_SECONDS)
        until("the guest runs on", lambda: source.state() == "running")


def test_both_relays_are_told_how_long_to_ask_for_the_answer(hosts: TwoHosts) -> None:
    with under_way(hosts, "4M", "--decide", 2.5) as (moving, _, _):
        near = [line for line in command_lines(moving.pid) if "relay" in line]
        far = [line for line in hosts.left_behind() if " relay " in line]
        assert [" ".join(near[0]).count(" --decide 2.5"), len(near)] == [1, 1]
        assert [far[0].count(" --decide 2.5"), len(far)] == [1, 1]


def command_lines(pid: int) -> list[list[str]]:
    """Of all processes below one."""
    found = psutil.Process(pid).children(recursive=True)
    return [one.cmdline() for one in found]


@pytest.mark.slow
def test_the_whole_near_side_is_killed_with_its_ssh(hosts: TwoHosts) -> None:
    with under_way(hosts, "4M", "--through-ssh") as (moving, source, _):
        os.killpg(moving.pid, signal.SIGKILL)
        gone_within(hosts, GONE_SECONDS)
        until("the guest runs on", lambda: source.state() == "running")


def test_the_cable_is_pulled(hosts: TwoHosts) -> None:
    with under_way(hosts, "4M") as (moving, source, _):
        hosts.cut()
        gone_within(hosts, PULLED_SECONDS)
        _, words = moving.communicate(timeout=60)
        assert moving.returncode in (5, 9), words
        assert source.state() == "running"
        assert "the guest runs at the source" in words


def test_ctrl_c_cancels_in_order(hosts: TwoHosts) -> None:
    with under_way(hosts, "4M") as (moving, source, _):
        os.killpg(moving.pid, signal.SIGINT)
        _, words = moving.communicate(timeout=30)
        assert moving.returncode == 6, words
        assert "cancelled; the guest runs at the source" in words
        assert hosts.left_behind() == []
        assert source.state() == "running"


@pytest.mark.slow
def test_the_far_half_is_killed(hosts: TwoHosts) -> None:
    with under_way(hosts, "4M") as (moving, source, _):
        for line in hosts.left_behind():
            if line.endswith(" far"):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        _, words = moving.communicate(timeout=60)
        assert moving.returncode in (5, 9), words
        assert "the connection by ssh to ssh://nobody@far has ended" in words
        assert source.state() == "running"
        until("nothing is left there", lambda: not hosts.left_behind(), GONE_SECONDS)


@pytest.mark.slow
def test_a_near_side_that_stands_still_for_half_a_minute(hosts: TwoHosts) -> None:
    with under_way(hosts, "1500k") as (moving, _, destination):
        os.killpg(moving.pid, signal.SIGSTOP)
        time.sleep(30)  # this is what is tested
        assert hosts.left_behind()
        os.killpg(moving.pid, signal.SIGCONT)
        _, words = moving.communicate(timeout=90)
        assert moving.returncode == 0, words
        assert destination.state() == "running"
        assert hosts.left_behind() == []
