"""QEMUs that run as another user than ramferry, as libvirt's do: save, restore, migrate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from migrating import MIB, Pair, assert_same_ram, run_state

from ramferry.bench.fill import fill
from ramferry.bench.qemu import Qemu, QemuBinary

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a QEMU as another user"),
]

MEMORY = 32 * MIB
BOTH = pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ramferry", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)


def as_user(binary: QemuBinary, user: str) -> tuple[str, ...]:
    """The options with which a QEMU goes on as another user."""
    return ("-run-with", f"user={user}") if binary.version >= (9, 1) else ("-runas", user)


@contextmanager
def started(binary: QemuBinary, user: str, *, incoming: bool = False) -> Iterator[Qemu]:
    options = as_user(binary, user)
    with Qemu(binary, MEMORY, incoming=incoming, options=options) as qemu:
        status = Path(f"/proc/{qemu.pid}/status").read_text()
        assert "\nUid:\t0\t" not in status
        yield qemu


@BOTH
def test_saved_and_restored(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "state"
    with started(pair.source, "nobody") as source:
        fill(source.ram)
        ended = run("save", source.uri, file)
        assert ended.returncode == 0, ended.stderr
        assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (0, 0o600)
        with started(pair.destination, "nobody", incoming=True) as destination:
            ended = run("restore", file, destination.uri)
            assert ended.returncode == 0, ended.stderr
            assert_same_ram(source, destination)
            assert run_state(destination) in ("paused", "prelaunch")


@BOTH
@pytest.mark.parametrize(
    ("options", "route"),
    [
        (("--method", "none"), "QEMU built-in"),
        (("--method", "zlib", "--relay", "source"), "source relay"),
        (("--method", "qatzip"), "relay pair"),
    ],
)
def test_migrated_from_one_user_to_another(
    pair: Pair, options: tuple[str, ...], route: str
) -> None:
    with (
        started(pair.source, "nobody") as source,
        started(pair.destination, "daemon", incoming=True) as destination,
    ):
        fill(source.ram)
        ended = run("migrate", source.uri, destination.uri, *options, "--json", "-")
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["results"][0]["route"] == route
        assert_same_ram(source, destination)
