"""What the commands say of libvirt's domains before anything is touched."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ramferry.cli import main

Run = Callable[..., str]


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line, which is a usage error; returns its sentence."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ramferry", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        return capsys.readouterr().err.strip().removeprefix("ramferry: ")

    return run


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            ("libvirt:a", "libvirt:b"),
            "libvirt:b is no libvirt that libvirt:a could go to: write qe",
        ),
        (("libvirt:a", "ssh://beta/x"), "ssh://beta/x is no libvirt that libvirt:a could go to"),
        (("libvirt:a", "qmp:/x"), "qmp:/x is no libvirt that libvirt:a could go to"),
        (
            ("libvirt:a", "qemu+tls://b/system"),
            "qemu+tls://b/system does not go by ssh, so that no",
        ),
        (
            ("libvirt:", "qemu+ssh://b/system"),
            "'libvirt:' names no domain: write libvirt:DOMAIN or",
        ),
        (("qmp:/a", "libvirt:b"), "libvirt:b is libvirt's, and qmp:/a is none of its domains"),
        (("qmp:/a", "qemu+ssh://b/system"), "qemu+ssh://b/system is libvirt's, and qmp:/a is none"),
        (("--p2p", "qmp:/a", "qmp:/b"), "--p2p is for a libvirt domain, and qmp:/a is none"),
        (
            ("--socket-folder", "/x", "qmp:/a", "ssh://b/x"),
            "--socket-folder is for a libvirt domain, and qmp:/a is none",
        ),
        (
            ("--disks-uri", "tcp://b", "libvirt:a", "qemu+ssh://b/system"),
            "--disks-uri says where copied disks go: add --copy-storage all or inc",
        ),
        (
            ("--via", "relay:b:1", "--through-ssh", "libvirt:a", "qemu+tls://b/system"),
            "--through-ssh is for ssh://HOST, and none is given",
        ),
    ],
)
def test_migrate(refusal: Run, line: tuple[str, ...], said: str) -> None:
    assert refusal("migrate", *line).startswith(said)


def test_what_a_domain_is_not_given_to(refusal: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert "`virsh save a FILE` saves and stops it" in refusal("save", "libvirt:a", str(file))
    assert not file.exists()
    file.touch()
    said = refusal("restore", str(file), "libvirt:a")
    assert "comes back by `virsh restore`" in said
    assert "`ramferry plan time libvirt:a`" in refusal("doctor", "libvirt:a")
