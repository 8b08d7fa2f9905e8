"""The QEMU of a libvirt domain is found by its process id's file, and by nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ramferry.control.hosts import domain_process
from ramferry.control.hosts.domain_process import find
from ramferry.control.hosts.socket_place import removed_at_end

UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
VCPU = """
import threading, time
from pathlib import Path
Path("/proc/thread-self/comm").write_text("CPU 0/KVM")
print("runs", flush=True)
time.sleep(100)
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(domain_process, "STATE", tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    return tmp_path


def test_its_process_and_vcpus(state: Path) -> None:
    line = [sys.executable, "-c", VCPU, "-uuid", UUID]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"runs\n"
            (state / "guest.pid").write_text(f"{process.pid}\n")
            assert find("guest", UUID) == (process.pid, (process.pid,))
            assert find("guest", UUID.replace("c", "d")) is None
            assert find("other", UUID) is None
        finally:
            process.kill()
    assert find("guest", UUID) is None


def test_what_is_no_process_id(state: Path) -> None:
    for text in ("", "x", "0", str(os.getpid())):
        (state / "guest.pid").write_text(text)
        assert find("guest", UUID) is None


def test_a_socket_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path, file = tmp_path / "socket", tmp_path / "file"
    file.touch()
    with (
        socket.socket(socket.AF_UNIX) as listener,
        removed_at_end(path),
        removed_at_end(file),
        removed_at_end(tmp_path / "none"),
    ):
        listener.bind(str(path))
        assert path.exists()
    assert not path.exists()
    assert file.exists()
