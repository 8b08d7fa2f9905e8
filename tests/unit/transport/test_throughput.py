"""transport.throughput: what counts, what ends a flow."""

from __future__ import annotations

import socket
import threading

import pytest

from ramferry.transport import throughput
from ramferry.transport.throughput import Flow, drain, pour


def flow(count: int) -> Flow:
    pairs = [socket.socketpair() for _ in range(count)]
    near, far = [one for one, _ in pairs], [other for _, other in pairs]
    pouring = threading.Thread(target=pour, args=(near,))
    pouring.start()
    try:
        return drain(far)
    finally:
        pouring.join(30)
        assert not pouring.is_alive()
        for sock in (*near, *far):
            sock.close()


def test_what_comes_before_it_settles_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "SETTLE_SECONDS", 0.5)
    monkeypatch.setattr(throughput, "COUNTED_SECONDS", 0.5)
    # one that stands still on a busy machine counts all that it took up to then
    assert any(counted_in_part() for _ in range(5))


def counted_in_part() -> bool:
    found = flow(2)
    assert 0 < found.counted_bytes <= found.all_bytes
    assert found.rate == found.counted_bytes / found.seconds
    return found.counted_bytes < found.all_bytes


def test_no_more_is_sent_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "MOST_BYTES", 3 << 20)
    monkeypatch.setattr(throughput, "SETTLE_SECONDS", 10.0)
    found = flow(2)
    # all of it before the flow settled, so all of it counts
    assert found == Flow(3 << 20, found.seconds, 3 << 20)
    assert found.seconds < throughput.SETTLE_SECONDS


def test_nothing_is_no_rate() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError, match="nothing came through it"):
            drain([there])


def test_a_far_end_that_goes_ends_the_pouring() -> None:
    here, there = socket.socketpair()
    there.close()
    with here:
        pour([here])
