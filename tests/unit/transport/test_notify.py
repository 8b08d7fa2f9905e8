"""sd_notify(3): the datagrams, byte for byte, and a manager that is not there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fakes_manager import Manager
from ramferry.transport.notify import ALIVE, READY, Notifier


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.mark.parametrize("abstract", [False, True])
def test_one_datagram_for_what_belongs_together(address: str, abstract: bool) -> None:
    name = f"@ramferry-test-{os.getpid()}" if abstract else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0") if abstract else name)
        manager.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        notifier.tell(READY, "STATUS=listening")
        assert manager.recv(4096) == b"READY=1\nSTATUS=listening"
        notifier.tell(ALIVE)
        assert manager.recv(4096) == b"WATCHDOG=1"
        notifier.close()


def test_words_of_a_peer_make_no_line_of_their_own(address: str) -> None:
    with Manager(address) as manager:
        notifier = Notifier(manager.environ)
        notifier.tell("STATUS=failed: \nSTOPPING=1")
        assert manager.heard() == ["STATUS=failed: \\nSTOPPING=1"]
        notifier.close()


def test_a_reload_says_since_when(address: str) -> None:
    with Manager(address) as manager:
        notifier = Notifier(manager.environ)
        notifier.reloading()
        first, second = manager.heard()
        assert first == "RELOADING=1"
        assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
        notifier.close()


@pytest.mark.parametrize("name", ["", "vsock:2:1", "relative"])
def test_nobody_is_told_without_a_manager(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"})
    assert not notifier.listens
    assert notifier.watchdog == 0
    notifier.tell(READY)
    notifier.close()


def test_a_manager_that_went_away_or_does_not_read_holds_nobody_up(address: str) -> None:
    manager = Manager(address)
    notifier = Notifier(manager.environ)
    for _ in range(3000):
        notifier.tell(READY)
    assert manager.count(READY) < 3000
    manager.close()
    notifier.tell(READY)
    notifier.close()
    notifier.tell(READY)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "-1"}, 0.0),
        ({"WATCHDOG_USEC": "²"}, 0.0),
        ({}, 0.0),
    ],
)
def test_how_often_it_is_watched(address: str, environ: dict[str, str], seconds: float) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, **environ})
    assert notifier.watchdog == seconds
    notifier.close()
