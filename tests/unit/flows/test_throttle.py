"""The governor: kernel buffers follow the rate at which a destination really drains."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from fakes_clock import Clock
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.session import throttle
from ramferry.flows.session.session import Session
from ramferry.flows.settings import RelaySettings
from ramferry.transport import budget
from ramferry.transport.address import UnixAddress
from ramferry.transport.plain import Plain
from raw_sockets import raw


class Governed:
    """A session of unix destinations and TCP sources, and its governor under a clock."""

    def __init__(self, clock: Clock, max_bandwidth: float = 0) -> None:
        self.clock = clock
        settings = RelaySettings(
            UnixAddress("in"), UnixAddress("out"), "zlib", max_bandwidth=max_bandwidth
        )
        self.session = Session(settings, lambda _: None)
        self.outlet = Outlet(self.session, settings)
        self.tally = self.session.tally.channel("multifd 0")
        pairs = [socket.socketpair() for _ in range(2)]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            far = socket.create_connection(listener.getsockname())
            near, _ = listener.accept()
        self.socks = [*pairs[0], *pairs[1], far, near]
        for end, _ in pairs:
            self.outlet.adopt(Plain(end))
        self.session.sources += [Plain(pairs[0][1]), Plain(near)]
        self.governor = self.outlet.governor()

    def begin(self) -> None:
        """Carry the first page."""
        self.tally.pages += 1
        self.drain(4e6)

    def drain(self, rate: float, seconds: float = 0.25) -> None:
        self.clock.now += seconds
        self.tally.bytes_out += int(rate * seconds)
        self.governor.adjust()

    def buffer(self) -> set[int]:
        return {
            raw(one).getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) for one in self.outlet.channels
        }


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(throttle, "time", clock)
    return clock


@pytest.fixture
def governed(clock: Clock) -> Iterator[Governed]:
    governed = Governed(clock)
    governed.begin()
    yield governed
    for sock in governed.socks:
        sock.close()


def test_before_anything_is_sent_nothing_is_set(governed: Governed) -> None:
    before = governed.buffer()
    governed.governor.adjust()
    assert governed.buffer() == before
    assert governed.outlet.outbox.most == float("inf")


def test_setup_and_the_look_in_which_the_first_page_comes_tell_no_rate(clock: Clock) -> None:
    """Or a few hundred bytes of setup would hold all channels to one packet for a while."""
    governed = Governed(clock)
    for _ in range(3):
        governed.drain(4000)
    governed.begin()
    assert governed.outlet.outbox.most == float("inf")
    governed.drain(100e6)
    assert governed.outlet.outbox.most == pytest.approx(2e6)
    for sock in governed.socks:
        sock.close()


def test_a_silence_however_long_is_no_slow_destination(governed: Governed) -> None:
    governed.drain(400e6)
    for _ in range(100):
        governed.drain(0)
    governed.drain(300e6)
    assert governed.outlet.outbox.most == pytest.approx(8e6)


def test_buffers_follow_the_rate(governed: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plain, "segment", lambda _: 0)
    for rate in (100e6, 400e6):
        governed.drain(rate)
        assert governed.buffer() == {budget.socket_buffer(rate, 2, 0.0) // 2 * 2}
    receive = raw(governed.session.sources[1]).getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert receive == budget.socket_buffer(400e6, 2, 0.0) // 2 * 2


def test_a_pause_between_rounds_is_no_slow_destination(governed: Governed) -> None:
    governed.drain(400e6)
    size = governed.buffer()
    for _ in range(8):
        governed.drain(0)
    assert governed.buffer() == size


def test_a_slow_destination_gets_small_buffers_in_the_end(governed: Governed) -> None:
    governed.drain(400e6)
    size = governed.buffer()
    for _ in range(20):
        governed.drain(10e6)
    assert max(governed.buffer()) < min(size)


def test_small_changes_are_left_alone(governed: Governed) -> None:
    governed.drain(400e6)
    size = governed.buffer()
    governed.drain(420e6)
    assert governed.buffer() == size


def test_a_socket_that_closed_is_no_error(governed: Governed) -> None:
    governed.outlet.channels[0].close()
    governed.drain(400e6)


def test_the_outbox_is_bounded_by_the_rate_and_from_the_start_by_the_cap(
    clock: Clock, governed: Governed
) -> None:
    assert governed.outlet.outbox.most == float("inf")
    governed.drain(100e6)
    assert governed.outlet.outbox.most == pytest.approx(2e6)
    capped = Governed(clock, max_bandwidth=30e6)
    assert capped.outlet.outbox.most == pytest.approx(30e6 * budget.QUEUE_SECONDS)
    for sock in capped.socks:
        sock.close()
