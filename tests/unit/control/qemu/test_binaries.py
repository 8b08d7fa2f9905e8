"""Asking QEMUs what they have built in, with programs that stand in for good and bad ones."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ramferry.control.qemu import binaries
from ramferry.control.qemu.binaries import ask_qemu, ask_qemus, find_qemus

QEMU = """#!{python}
import json, socket, sys
path = sys.argv[sys.argv.index("-qmp") + 1].split(":")[1].split(",")[0]
assert {{"-S", "-nodefaults", "-no-user-config"}} <= set(sys.argv)
assert sys.argv[sys.argv.index("-machine") + 1] == "none"
version = {{"qemu": {{"major": 9, "minor": 2, "micro": 1}}, "package": ""}}
schema = [
    {{"name": "migrate-set-parameters", "meta-type": "command", "arg-type": "1"}},
    {{"name": "1", "members": [{{"name": "multifd-compression", "type": "2"}}]}},
    {{"name": "2", "values": ["none", "qpl", "qatzip"]}},
]
answers = {{"query-version": version, "query-qmp-schema": schema}}
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
connection = server.accept()[0]
greeting = {{"QMP": {{"version": version, "capabilities": []}}}}
connection.sendall(json.dumps(greeting).encode() + b"\\n")
while asked := connection.recv(65536):
    asked = json.loads(asked)
    reply = {{"return": answers.get(asked["execute"], {{}}), "id": asked.get("id")}}
    connection.sendall(json.dumps(reply).encode() + b"\\n")
"""


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def qemu(tmp_path: Path) -> Path:
    return program(tmp_path / "qemu-system-x86_64", QEMU.format(python=sys.executable))


def test_a_qemu_tells_version_and_methods(qemu: Path) -> None:
    built = ask_qemu(str(qemu))
    assert (built.version, built.methods, built.trouble) == (
        "9.2.1",
        ("none", "qatzip", "qpl"),
        "",
    )


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("#!/bin/sh\necho starting >&2; echo bad option >&2; exit 3\n", "bad option"),
        ("#!/bin/sh\nexit 3\n", "it ended with status 3"),
        ("#!/nowhere/interpreter\n", "it does not start: No such file or directory"),
        ("\0\0not a program", "it does not start: Exec format error"),
    ],
)
def test_what_does_not_start_says_why(tmp_path: Path, text: str, trouble: str) -> None:
    built = ask_qemu(str(program(tmp_path / "qemu-system-arm", text)))
    assert (built.version, built.methods, built.trouble) == ("", (), trouble)


def test_what_hangs_is_given_up_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, start_one = [], binaries._start

    def start_noted(*how: Any) -> subprocess.Popen[bytes]:
        started.append(start_one(*how))
        return started[-1]

    monkeypatch.setattr(binaries, "_start", start_noted)
    text = "#!/bin/sh\nexec sleep 60\n"
    start = time.monotonic()
    built = ask_qemu(str(program(tmp_path / "qemu-system-arm", text)), seconds=0.5)
    assert time.monotonic() - start < 10
    assert built.trouble == "it opened no QMP socket within 0.5 s"
    (process,) = started
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_qemus_are_found_once_each_in_the_order_of_the_path(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    x86 = program(first / "qemu-system-x86_64", "")
    program(first / "qemu-img", "")
    (first / "qemu-system-notes").write_text("no program")
    (second / "qemu-kvm").symlink_to(x86)
    old = program(second / "qemu-system-x86_64-10.0", "")
    (second / "qemu-system-dir").mkdir()
    path = os.pathsep.join([str(tmp_path / "none"), str(first), str(second)])
    assert find_qemus(path) == [str(x86), str(old)]


def test_qemus_that_time_does_not_suffice_for_are_named(qemu: Path) -> None:
    [built] = ask_qemus(str(qemu.parent), seconds=0)
    assert built.trouble == "the others took all the time there was"
