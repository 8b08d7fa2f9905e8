"""``ramferry guest``: where its memory may travel, and what is said of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from certificates import authority, complete

GUEST = (sys.executable, "-m", "ramferry", "guest", "--memory", "1M")


def refusal(*arguments: str) -> str:
    done = subprocess.run(
        [*GUEST, *arguments], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--incoming", "tcp:0.0.0.0:0"),
            "ramferry: tcp:0.0.0.0:0 can be reached from other hosts, and a guest's memory would "
            "come there in clear from whoever connects: use relay: or tls: with --tls-creds, "
            "listen on 127.0.0.1, or accept that with --insecure",
        ),
        (
            ("--incoming", "relay:0.0.0.0:0"),
            "ramferry: relay:0.0.0.0:0 needs --tls-creds DIR, a folder with certificates as QEMU's "
            "tls-creds-x509 has them or, in clear, --insecure",
        ),
        (
            ("--incoming", "tls:127.0.0.1:0", "--insecure"),
            "ramferry: tls:127.0.0.1:0 needs --tls-creds DIR, a folder with certificates as QEMU's "
            "tls-creds-x509 has them",
        ),
        (
            ("--qmp", "qmp:0.0.0.0:4444"),
            "ramferry: tcp:0.0.0.0:4444 can be reached from other hosts, and whoever connects to a "
            "monitor has the guest and its memory: listen at a socket's path or on 127.0.0.1, or "
            "accept that with --insecure",
        ),
        (
            ("--incoming", "unix:/nobody/a", "--tls-authz", "CN=x"),
            "ramferry: --tls-authz needs --tls-creds: nobody shows a certificate without TLS",
        ),
        (
            ("--incoming", "unix:/nobody/a", "--tls-creds", "/nobody/pki"),
            "ramferry: there is no folder /nobody/pki: TLS needs one with certificates, as QEMU's "
            "tls-creds-x509 has them",
        ),
    ],
    ids=["tcp", "relay", "tls", "monitor", "authz", "no folder"],
)
def test_what_is_refused(arguments: tuple[str, ...], told: str) -> None:
    assert refusal(*arguments) == told


NOBODY = "ramferry: --tls-authz checks the certificates of those who connect, and "


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--incoming", "unix:/nobody/a", "--qmp", "qmp:/nobody/b", "--tls-authz", "CN=x"),
            f"{NOBODY}unix:/nobody/a asks for none: listen at relay:HOST:PORT or tls:",
        ),
        (
            ("--qmp", "qmp:/nobody/b", "--tls-authz", "CN=x"),
            f"{NOBODY}this guest waits for nobody: add --incoming",
        ),
        (
            ("--incoming", "unix:/nobody/a"),
            "ramferry: --tls-creds is for relay:HOST:PORT and tls:, and unix:/nobody/a is neither",
        ),
        (
            ("--incoming", "defer", "--qmp", "qmp:/nobody/b", "--tls-authz", "alpha"),
            "ramferry: --tls-authz 'alpha' can match nobody: write a subject, such as CN=alpha, or "
            "a pattern with * in it",
        ),
    ],
    ids=["authz", "authz of nobody", "creds", "no subject"],
)
def test_tls_that_would_do_nothing_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    folder = complete(tmp_path / "pki", authority())
    assert refusal(*arguments, "--tls-creds", str(folder)) == told


@pytest.mark.parametrize(
    "arguments",
    [("--tls-authz", "CN=x", "--incoming", "defer"), ("--incoming", "tcp:127.0.0.1:0"), ()],
    ids=["to come by the monitor", "migrated from here later", "migrated from here"],
)
def test_tls_that_the_monitor_may_need_is_taken(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    folder = complete(tmp_path / "pki", authority())
    lines = started(*arguments, "--tls-creds", str(folder), "--qmp", f"qmp:{tmp_path}/qmp")
    assert any(line.startswith("built-in guest ") for line in lines)


def started(*arguments: str) -> list[str]:
    """What a guest says until it is there; then it is ended."""
    with subprocess.Popen([*GUEST, *arguments], stderr=subprocess.PIPE, text=True) as guest:
        assert guest.stderr is not None
        lines = []
        for line in guest.stderr:
            lines.append(line.rstrip())
            if line.startswith("built-in guest "):
                break
        guest.terminate()
        # its notes are written by a thread of their own
        return [*lines, *guest.stderr.read().splitlines()]


def test_consent_is_answered_with_what_it_means(tmp_path: Path) -> None:
    monitor = f"qmp:{tmp_path}/qmp"
    lines = started("--qmp", monitor, "--incoming", "tcp:0.0.0.0:0", "--insecure")
    assert (
        "ramferry guest: --insecure: the guest's memory travels in clear at tcp:0.0.0.0:0; whoever "
        "is on the way can read and change it, and whoever reaches that port can take part in the "
        "migration"
    ) in lines


def test_consent_that_nothing_needs_is_not_spoken_of(tmp_path: Path) -> None:
    folder = complete(tmp_path / "pki", authority())
    monitor = f"qmp:{tmp_path}/qmp"
    incoming = ("--incoming", "relay:0.0.0.0:0", "--insecure", "--tls-creds", str(folder))
    lines = started("--qmp", monitor, *incoming)
    assert [line for line in lines if "--insecure" in line] == []
    assert any(line.startswith("built-in guest ") for line in lines)
