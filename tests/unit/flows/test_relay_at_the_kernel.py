"""What a relay asks of the kernel, and its share of the wire: seen from outside, by its peers."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import dial
from fakes_wire import Guest, Script, device
from ramferry.transport import budget
from ramferry.transport.pacing import Pacer


def test_every_sync_is_acknowledged_at_once_to_who_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay before this one waits until its SYNC was taken: 40 ms a round without."""
    asked = Counter[object]()

    def note(sock: socket.socket, level: int, option: int, value: int | bytes) -> None:
        if (level, option, value) == (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1):
            asked[sock.getpeername()] += 1
        super(socket.socket, sock).setsockopt(level, option, value)

    monkeypatch.setattr(socket.socket, "setsockopt", note, raising=False)
    script = Script(Guest())
    stage = Stage(tmp_path)
    stage.over_tcp()
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest),
        stage.source(relay, script) as source,
    ):
        assert relay.finished().completed
        channels = [source.socks[at].getsockname() for at in range(script.guest.channels)]
    syncs = script.guest.rounds + 1
    assert asked == Counter(dict.fromkeys(channels, syncs))


def test_mains_bytes_take_their_part_of_the_cap(tmp_path: Path) -> None:
    """What goes on main before the first page is time that the first page waits."""
    rate, early = 1e6, 400_000
    script = Script(Guest(rounds=1, early=device(1, b"early", early)))
    stage = Stage(tmp_path, max_bandwidth=rate)
    begun = time.monotonic()
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)
    assert time.monotonic() - begun > early / rate - Pacer.BURST


def duplicate(number: int) -> socket.socket:
    """Another descriptor of a socket, which may have been closed since it was seen."""
    other = os.dup(number)
    try:
        return socket.socket(fileno=other)
    except OSError:  # the number is of something else now
        os.close(other)
        raise


def windows(near: socket.socket) -> list[tuple[int, int]]:
    """Of this process's other end of a connection: its receive buffer, and the largest window."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        if not link.is_socket():
            continue
        with contextlib.suppress(OSError), contextlib.closing(duplicate(int(link.name))) as end:
            if end.getpeername() == near.getsockname():
                info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
                most = 0xFFFF << (info[6] >> 4)  # tcpi_rcv_wscale
                found.append((end.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), most))
    return found


def test_what_may_wait_in_the_window_is_bounded_from_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the window can still grow with the rate, on a long link too."""
    # not what the kernel gives anyway
    monkeypatch.setattr(budget, "INITIAL", 96 * 1024)
    stage = Stage(tmp_path)
    stage.over_tcp()
    with RelayThread(stage.settings) as relay, dial(relay.address) as caller:
        until(lambda: [size for size, _ in windows(caller)] == [budget.INITIAL], NOTICE)
        ((_, most_in_flight),) = windows(caller)
        assert most_in_flight >= budget.LARGEST
