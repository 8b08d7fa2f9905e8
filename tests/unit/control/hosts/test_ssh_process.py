"""Starting a far half, with a script in place of ssh."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ramferry.control.hosts import ssh as host_module
from ramferry.control.hosts import ssh_process as ssh_module
from ramferry.control.hosts.host import HERE
from ramferry.control.hosts.ssh import Ssh, host_at
from ramferry.control.hosts.ssh_data import DataWay
from ramferry.control.hosts.ssh_process import SshProcess, SshSettings, control_line
from ramferry.control.hosts.ssh_uri import SshUri
from ramferry.errors import HostError, PeerUnreachable
from ramferry.patience import Patience

BETA = SshUri("beta", "me", 2222)
FAR = f'exec "{sys.executable}" -m ramferry far'
SILENT = "sleep 60"
Make = Callable[[str], Path]


@pytest.fixture
def as_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a script the ``ssh`` on the PATH; its arguments are kept in a file."""
    monkeypatch.setattr(ssh_module, "_may_ask", lambda: False)

    def make(script: str) -> Path:
        path, seen = tmp_path / "ssh", tmp_path / "arguments"
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{seen}\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return seen

    return make


def test_the_command_line(as_ssh: Make, tmp_path: Path) -> None:
    seen = as_ssh(FAR)
    with Ssh(BETA, SshSettings("nice ramferry")):
        words = seen.read_text().splitlines()
    assert words[0] == "-T"
    assert words[-6:] == ["2222", "-l", "me", "--", "beta", "nice ramferry far"]
    assert {"-oBatchMode=yes", "-oControlMaster=no", "-oControlPath=none"} <= set(words)
    with Ssh(BETA, SshSettings(through_ssh=True)):
        words = seen.read_text().splitlines()
    assert "-oControlMaster=yes" in words
    assert control_line(BETA, tmp_path / "c", "forward", "-L", "a:b")[1:] == [
        *("-S", f"{tmp_path}/c", "-O", "forward", "-L", "a:b"),
        *("-p", "2222", "-l", "me", "--", "beta"),
    ]


def test_a_question_can_be_asked_at_a_terminal_only(
    as_ssh: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = as_ssh(FAR)
    monkeypatch.setattr(ssh_module, "_may_ask", lambda: True)
    with Ssh(BETA, SshSettings()):
        assert "-oBatchMode=no" in seen.read_text().splitlines()


def test_there_is_no_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="there is none on the PATH"):
        SshProcess(BETA, SshSettings())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'ssh: beta: Name or service not known' >&2; exit 255", "Name or service not known"),
        (SILENT, "says nothing"),
        ("yes; exit 1", "Ramferry does not answer on"),
        ("printf 'half a line'; exit 3", "it says: half a line"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_there_is_no_far_half(
    as_ssh: Make, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    as_ssh(script)
    if script == SILENT:  # the others have as long as a process may take to start
        monkeypatch.setattr(ssh_module, "HELLO_SECONDS", 0.5)
    monkeypatch.setattr(ssh_module, "END_SECONDS", 0.2)
    with pytest.raises(PeerUnreachable, match=words):
        SshProcess(BETA, SshSettings())


def test_it_is_reached_anew_after_it_was_lost(
    as_ssh: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_module, "REST_SECONDS", 60.0)
    as_ssh(FAR)
    with Ssh(BETA, SshSettings()) as host:
        host._process.process.kill()
        assert host._link.lost.wait(10)
        with pytest.raises(FileNotFoundError):
            host.monitor(str(tmp_path / "none"), 1.0)
        assert not host._link.lost.is_set()
        as_ssh("exit 255")
        host._process.process.kill()
        assert host._link.lost.wait(10)
        with pytest.raises(ConnectionAbortedError, match="ssh cannot connect to ssh://me@beta"):
            host.monitor(str(tmp_path / "none"), 1.0)
        as_ssh(FAR)  # an sshd shuts out who comes too often
        with pytest.raises(ConnectionAbortedError, match="ssh cannot connect to ssh://me@beta"):
            host.monitor(str(tmp_path / "none"), 1.0)
        host._rest = Patience(0.0)
        with pytest.raises(FileNotFoundError):
            host.monitor(str(tmp_path / "none"), 1.0)


def test_another_ssh_carries_what_the_one_before_it_did(
    as_ssh: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that was killed and left its sockets: relays look for each other there."""
    forwarded: list[tuple[str, str, bool]] = []

    def forward(_: DataWay, option: str, sockets: str) -> None:
        near = Path(sockets.partition(":")[0])
        forwarded.append((option, sockets, near.exists()))
        near.touch()

    monkeypatch.setattr(DataWay, "_forward", forward)
    monkeypatch.setattr(DataWay, "_try_out", lambda *_: "")
    as_ssh(FAR)
    with Ssh(BETA, SshSettings(through_ssh=True)) as host:
        meets = host.meeting().removeprefix("relay:unix:")
        host._process.process.kill()
        assert host._link.lost.wait(10)
        with pytest.raises(FileNotFoundError):
            host.monitor(str(tmp_path / "none"), 1.0)
        way = f"{host._here.path}/relay:{meets}"
        assert forwarded == [("-L", way, False)] * 2


def test_without_an_address_by_ssh_it_is_this_host() -> None:
    with host_at(None, SshSettings(), HERE) as host:
        assert host is HERE


def test_no_address_for_data(as_ssh: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    as_ssh(FAR)
    with (
        Ssh(BETA, SshSettings()) as host,
        pytest.raises(PeerUnreachable, match="name it with --data-address"),
    ):
        host.meeting()
    with Ssh(BETA, SshSettings(data_address="127.0.0.1")) as host:
        assert host.address == "127.0.0.1"
        assert host.meeting().startswith("relay:127.0.0.1:")
        assert host.reached_at("relay:0.0.0.0:99") == "relay:127.0.0.1:99"
