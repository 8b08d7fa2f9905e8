"""``ramferry relay``: where memory may travel, and what is said of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from certificates import authority, complete

RELAY = (sys.executable, "-m", "ramferry", "relay", "--method", "none")


def refusal(*arguments: str) -> str:
    done = subprocess.run(
        [*RELAY, *arguments], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("tcp:0.0.0.0:0", "unix:/nobody"),
            "ramferry: tcp:0.0.0.0:0 can be reached from other hosts, and a guest's memory would "
            "come there in clear from whoever connects: use relay: or tls: with --tls-creds, "
            "listen on 127.0.0.1, or accept that with --insecure",
        ),
        (
            ("relay:0.0.0.0:0", "unix:/nobody"),
            "ramferry: relay:0.0.0.0:0 needs --tls-creds DIR, a folder with certificates as QEMU's "
            "tls-creds-x509 has them or, in clear, --insecure",
        ),
        (
            ("unix:/nobody/a", "relay:192.0.2.1:1"),
            "ramferry: relay:192.0.2.1:1 needs --tls-creds DIR, a folder with certificates as "
            "QEMU's tls-creds-x509 has them or, in clear, --insecure",
        ),
        (
            ("tls:127.0.0.1:0", "unix:/nobody", "--insecure"),
            "ramferry: tls:127.0.0.1:0 needs --tls-creds DIR, a folder with certificates as QEMU's "
            "tls-creds-x509 has them",
        ),
        (
            ("unix:/nobody/a", "unix:/nobody/b", "--tls-authz", "CN=x"),
            "ramferry: --tls-authz needs --tls-creds: nobody shows a certificate without TLS",
        ),
        (
            ("unix:/nobody/a", "unix:/nobody/b", "--tls-creds", "/nobody/pki"),
            "ramferry: there is no folder /nobody/pki: TLS needs one with certificates, as QEMU's "
            "tls-creds-x509 has them",
        ),
    ],
    ids=["tcp", "relay listens", "relay connects", "tls", "authz", "no folder"],
)
def test_what_is_refused(arguments: tuple[str, ...], told: str) -> None:
    assert refusal(*arguments) == told


NOBODY = "ramferry: --tls-authz checks the certificates of those who connect, and "
NEITHER = "ramferry: --tls-creds is for relay:HOST:PORT and tls:, and neither address is one"


@pytest.mark.parametrize(
    ("addresses", "options", "told"),
    [
        (
            ("tcp:127.0.0.1:4444", "unix:/nobody"),
            ("--tls-authz", "CN=nobody"),
            f"{NOBODY}tcp:127.0.0.1:4444 asks for none: listen at relay:HOST:PORT or tls:",
        ),
        (
            ("relay:unix:/nobody/a", "tls:127.0.0.1:1"),
            ("--tls-authz", "CN=nobody"),
            f"{NOBODY}relay:unix:/nobody/a asks for none: listen at relay:HOST:PORT or tls:",
        ),
        (("tcp:127.0.0.1:4444", "unix:/nobody"), (), NEITHER),
        (("unix:/nobody/a", "relay:unix:/nobody/b"), (), NEITHER),
        (
            ("tls:127.0.0.1:0", "unix:/nobody"),
            ("--tls-authz", "CN=a", "--tls-authz", "alpha"),
            "ramferry: --tls-authz 'alpha' can match nobody: write a subject, such as CN=alpha, or "
            "a pattern with * in it",
        ),
    ],
    ids=["authz", "authz at a socket", "creds", "creds at a socket", "no subject"],
)
def test_tls_that_would_do_nothing_is_refused(
    tmp_path: Path, addresses: tuple[str, str], options: tuple[str, ...], told: str
) -> None:
    folder = complete(tmp_path / "pki", authority())
    assert refusal(*addresses, "--tls-creds", str(folder), *options) == told


@pytest.mark.parametrize("option", [("--verify",), ("--decide", "60")], ids=lambda one: one[0])
def test_what_is_for_two_ramferrys_is_refused_without_a_second(option: tuple[str, ...]) -> None:
    assert refusal("unix:/nobody/a", "tls:127.0.0.1:1", *option) == (
        f"ramferry: {option[0]} is for two Ramferrys that know each other (relay:), and neither "
        "address is relay:"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("relay:127.0.0.1:0", "unix:/nobody", "--tls-authz", "CN=x"),
        ("tls:127.0.0.1:0", "unix:/nobody", "--tls-authz", "*alpha*", "--no-verify"),
        ("relay:127.0.0.1:0", "unix:/nobody", "--verify", "--decide", "60"),
        ("tcp:127.0.0.1:0", "relay:127.0.0.1:1", "--verify", "--decide", "60"),
    ],
)
def test_options_that_do_something_are_taken(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    folder = complete(tmp_path / "pki", authority())
    assert listening(*arguments, "--tls-creds", str(folder))[-1].startswith("listening on ")


def test_an_open_key_is_refused(tmp_path: Path) -> None:
    folder = complete(tmp_path / "pki", authority())
    (folder / "server-key.pem").chmod(0o644)
    told = refusal("tls:127.0.0.1:0", "unix:/nobody", "--tls-creds", str(folder))
    assert told.startswith(f"ramferry: others can read or change the key {folder}/server-key.pem")


def listening(*arguments: str) -> list[str]:
    """What a relay says before and when it listens; then it is ended."""
    with subprocess.Popen([*RELAY, *arguments], stderr=subprocess.PIPE, text=True) as relay:
        assert relay.stderr is not None
        lines = []
        for line in relay.stderr:
            lines.append(line.removeprefix("ramferry relay: ").rstrip())
            if "listening on" in line:
                break
        relay.terminate()
        relay.stderr.read()
    return lines


def test_consent_is_answered_with_what_it_means() -> None:
    warning, told = listening("tcp:0.0.0.0:0", "relay:192.0.2.1:1", "--insecure")[-3::2]
    means = (
        "; whoever is on the way can read and change it, and whoever reaches that port can take "
        "part in the migration"
    )
    assert warning == f"--insecure: the guest's memory travels in clear at tcp:0.0.0.0:0{means}"
    assert told.startswith("listening on tcp:0.0.0.0:")


def test_consent_that_nothing_needs_is_not_spoken_of(tmp_path: Path) -> None:
    folder = complete(tmp_path / "pki", authority())
    told = listening("relay:0.0.0.0:0", "unix:/nobody", "--insecure", "--tls-creds", str(folder))
    assert len(told) == 1
    assert told[0].startswith("listening on relay:0.0.0.0:")
    assert told[0].endswith(" (TLS)")


@pytest.mark.parametrize(
    ("address", "tail"),
    [
        ("relay:127.0.0.1:0", r" \(in clear\)"),
        ("relay:unix:{}/in", r" \(in clear\)"),
        ("tcp:127.0.0.1:0", ""),
    ],
)
def test_whether_it_encrypts_is_said_where_it_may(tmp_path: Path, address: str, tail: str) -> None:
    (told,) = listening(address.format(tmp_path), "unix:/nobody")
    assert re.fullmatch(rf"listening on \S+{tail}", told)
