"""A real systemd as process 1 of a container, over this host's files, which stay as they are."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import ramferry
from confining import UNIT
from fakes_relay import until

SOURCE: Final = Path(ramferry.__file__).parent.parent
PATIENCE: Final = 90.0
"""Seconds for what a busy machine does in 10."""
COMMAND: Final = """#!/bin/sh
export PYTHONPATH={source} PYTHONDONTWRITEBYTECODE=1
exec {python} -m ramferry "$@"
"""
DROP_IN: Final = """[Service]
# this Python may lie in root's home
User=root
Group=root
ProtectHome=read-only
"""


class NotHere(Exception):
    """This host does not boot a container; the text says why."""


class Booted:
    """The container, while it runs."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self.root = Path(f"/proc/{leader}/root")
        """Its files, as this process sees them."""

    def run(self, *command: str) -> str:
        """Run a command in it; what it prints, on both streams."""
        inside = ["nsenter", f"--target={self._leader}", "-m", "-u", "-i", "-n", "-p", "-C"]
        done = subprocess.run(
            [*inside, *command], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return (done.stdout + done.stderr).strip()

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """What systemd says of a unit."""
        lines = self.run("systemctl", "show", unit, *(f"-p{name}" for name in names)).splitlines()
        return dict(line.split("=", 1) for line in lines)


@contextlib.contextmanager
def booted(folder: Path) -> Iterator[Booted]:
    """Boot it, with the unit and a ``ramferry`` command.

    :raise NotHere: there is no systemd-nspawn, or it may not do that here.
    """
    if os.geteuid() or shutil.which("systemd-nspawn") is None:
        raise NotHere("root and systemd-nspawn (Debian: systemd-container) boot a container")
    with contextlib.ExitStack() as stack:
        root = _over_the_host(folder, stack)
        _furnish(root)
        line = ["systemd-nspawn", "--quiet", "--boot", f"--directory={root}", "--register=no"]
        line += ["--keep-unit", "--private-network", "--resolv-conf=off", "--console=pipe"]
        log = stack.enter_context((folder / "log").open("w+"))
        container = subprocess.Popen(
            [*line, f"--bind-ro={SOURCE.parent}", "systemd.unit=basic.target"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        stack.callback(container.wait, PATIENCE)
        stack.callback(container.terminate)
        made = Booted(_leader(container, folder / "log"))
        until(lambda: made.run("systemctl", "is-active", "basic.target") == "active", PATIENCE)
        yield made


def _over_the_host(folder: Path, stack: contextlib.ExitStack) -> Path:
    """A root of its own: this host's, and over it a file system in memory."""
    layer, root = folder / "layer", folder / "root"
    layer.mkdir()
    root.mkdir()
    _mount(stack, layer, "-t", "tmpfs", "-o", "size=256M", "tmpfs")
    for name in ("upper", "work"):
        (layer / name).mkdir()
    _mount(
        stack,
        root,
        *("-t", "overlay", "-o"),
        f"lowerdir=/,upperdir={layer}/upper,workdir={layer}/work",
        "overlay",
    )
    return root


def _mount(stack: contextlib.ExitStack, where: Path, *how: str) -> None:
    done = subprocess.run(["mount", *how, where], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHere(f"no file system can be mounted: {done.stderr.strip()}")
    stack.callback(subprocess.run, ["umount", "--lazy", where], check=True)


def _furnish(root: Path) -> None:
    units = root / "etc/systemd/system"
    shutil.copy(UNIT, units)
    (units / f"{UNIT.name}.d").mkdir()
    (units / f"{UNIT.name}.d/test.conf").write_text(DROP_IN)
    command = root / "usr/local/bin/ramferry"
    command.unlink(missing_ok=True)
    command.write_text(COMMAND.format(source=SOURCE, python=sys.executable))
    command.chmod(0o755)
    (root / "etc/ramferry").mkdir(exist_ok=True)
    (root / "etc/machine-id").write_text("")


def _leader(container: subprocess.Popen[bytes], log: Path) -> int:
    """The process that is 1 in the container."""
    found: list[int] = []

    def look() -> bool:
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text()
            found[:] = [
                int(one)
                for one in children.split()
                if Path(f"/proc/{one}/comm").read_text() == "systemd\n"
            ]
        return bool(found) or container.poll() is not None

    with contextlib.suppress(AssertionError):
        until(look, PATIENCE)
    if not found:
        raise NotHere(f"no container boots here: {log.read_text().strip()[-300:]}")
    return found[0]
