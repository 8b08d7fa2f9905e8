"""What only the kernel's connections have: TCP's options and resets, and how to connect."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connecting import Aside, Plains, fill, joined, read_to_end, taken, until
from ports import port_of_nobody
from ramferry.errors import HostError, PeerUnreachable
from ramferry.transport import plain
from ramferry.transport.address import Address, TcpAddress, UnixAddress
from ramferry.transport.plain import Plain, connect

STALL = 0.15


def open_pair(form: str) -> Iterator[Plains]:
    with joined(form) as (near, far):
        assert isinstance(near, Plain)
        assert isinstance(far, Plain)
        yield near, far


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[Plains]:
    yield from open_pair(request.param)


@pytest.fixture
def tcp() -> Iterator[Plains]:
    yield from open_pair("tcp")


def option(connection: Plain, level: int, name: int) -> int:
    return connection._sock.getsockopt(level, name)


# --- what settle sets


def test_a_settled_one_blocks_for_as_long_as_the_kernel_is_told(pair: Plains) -> None:
    near, _ = pair
    near.settle(1.5, piece=0.25)
    assert near._sock.gettimeout() is None
    for name, limit in ((socket.SO_RCVTIMEO, 0.25), (socket.SO_SNDTIMEO, 1.5)):
        seconds, micros = struct.unpack("@ll", near._sock.getsockopt(socket.SOL_SOCKET, name, 16))
        assert seconds + micros / 1e6 == pytest.approx(limit, abs=0.01)


def test_a_settled_tcp_connection_is_prompt_and_notices_a_dead_host(tcp: Plains) -> None:
    near, _ = tcp
    near.settle(1.5)
    assert near._sock.gettimeout() is None
    assert option(near, socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert option(near, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    for name in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        seconds, micros = struct.unpack("@ll", near._sock.getsockopt(socket.SOL_SOCKET, name, 16))
        assert seconds + micros / 1e6 == pytest.approx(1.5, abs=0.01)


def test_a_dead_host_is_noticed_in_25_seconds(tcp: Plains) -> None:
    near, _ = tcp
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    idle, interval, count = (option(near, socket.IPPROTO_TCP, name) for name in names)
    assert idle + interval * count == 25


def test_set_buffers_bounds_what_the_kernel_holds(pair: Plains) -> None:
    near, _ = pair
    names = (socket.SO_SNDBUF, socket.SO_RCVBUF)
    before = [option(near, socket.SOL_SOCKET, name) for name in names]
    near.set_buffers()
    assert [option(near, socket.SOL_SOCKET, name) for name in names] == before
    near.set_buffers(send=65536, receive=100_000)
    assert [option(near, socket.SOL_SOCKET, name) for name in names] == [65536, 100_000]


def test_it_acknowledges_at_once_what_it_would_acknowledge_later(tcp: Plains) -> None:
    near, far = tcp

    def delays_after_an_answer() -> bool:
        far.send([b"?"])
        near.send([taken(near, 1)])
        taken(far, 1)
        return not option(near, socket.IPPROTO_TCP, socket.TCP_QUICKACK)

    until(delays_after_an_answer)
    near.acknowledge()
    assert option(near, socket.IPPROTO_TCP, socket.TCP_QUICKACK)


# --- figures of the path


def test_the_round_trip_and_the_segment_are_the_kernels(tcp: Plains) -> None:
    near, far = tcp
    near.send([b"x"])
    assert taken(far, 1) == b"x"
    assert 0.0 < near.round_trip() < 0.1
    assert near.segment() == option(near, socket.IPPROTO_TCP, socket.TCP_MAXSEG)


@pytest.mark.parametrize(
    "info", [b"\0" * 148, b"\0" * 148 + b"\xff" * 4, b"\0" * 148 + b"\xff" * 4 + b"\1" * 8]
)
def test_a_kernel_that_has_seen_no_round_trip_says_0(info: bytes) -> None:
    with contextlib.closing(Plain(_Answering(info))) as connection:
        assert connection.round_trip() == 0.0


def test_the_smallest_round_trip_is_told_in_seconds() -> None:
    info = b"\1" * 148 + struct.pack("=I", 2500) + b"\1" * 8
    with contextlib.closing(Plain(_Answering(info))) as connection:
        assert connection.round_trip() == 0.0025


class _Answering(socket.socket):
    """A TCP socket whose TCP_INFO is made up."""

    def __init__(self, info: bytes) -> None:
        super().__init__()
        self._info = info

    def getsockopt(self, level: int, name: int, size: int = 0) -> bytes:  # type: ignore[override]
        assert (level, name) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        return self._info[:size]


# --- ends


def test_a_reset_reaches_a_peer_whose_window_is_full(tcp: Plains) -> None:
    near, far = tcp
    fill(near)
    near.reset()
    with pytest.raises(ConnectionResetError):
        read_to_end(far)


def test_a_reset_reaches_a_peer_that_is_blocked_in_its_own_send(tcp: Plains) -> None:
    near, far = tcp
    sender = Aside(lambda: far.send([bytes(64 << 20)]))
    until(lambda: far.unsent() > 0)
    near.reset()
    with pytest.raises(ConnectionError):
        sender.result()


def test_a_reset_arrives_also_where_the_kernel_refuses_to_disconnect(
    tcp: Plains, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Linux 6.4 to 6.6 answer EBUSY while another thread waits on the socket
    near, far = tcp
    monkeypatch.setattr(plain.ctypes, "CDLL", lambda *_, **__: _Busy())
    fill(near)
    near.reset()
    near.close()
    with pytest.raises(ConnectionResetError):
        read_to_end(far)


class _Busy:
    def connect(self, *_: object) -> int:
        return -1


def test_a_local_peer_may_still_read_what_was_sent_before_a_reset() -> None:
    with joined("unix") as (near, far):
        near.send([b"last"])
        near.reset()
        assert taken(far, 10) == b"last"


def test_of_a_local_peer_that_closed_0_unsent_proves_nothing() -> None:
    """So whoever waits for 0 asks afterwards whether it has hung up."""
    with joined("unix") as (near, far):
        near.send([b"unread"])
        far.close()
        assert near.unsent() == 0
        assert near.hung_up()


# --- connecting


def stale_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()


def test_nobody_at_an_address_is_peer_unreachable(tmp_path: Path) -> None:
    stale_socket(tmp_path / "stale")
    with port_of_nobody() as free:
        addresses: list[Address] = [
            UnixAddress(str(tmp_path / "none")),
            UnixAddress(str(tmp_path / "stale")),
            TcpAddress("127.0.0.1", free),
        ]
        for address in addresses:
            with pytest.raises(PeerUnreachable, match=f"nobody accepts at {address}: "):
                connect(address)


def test_a_listener_whose_queue_is_full_is_peer_unreachable_in_time(tmp_path: Path) -> None:
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        with pytest.raises(PeerUnreachable, match=f"nobody accepts at unix:{path}: "):
            connect(UnixAddress(path), timeout=STALL)


@pytest.mark.parametrize("hosts", [("127.0.0.3", "127.0.0.2"), ("127.0.0.2", "127.0.0.3")])
def test_a_name_is_tried_by_all_its_addresses(
    monkeypatch: pytest.MonkeyPatch, hosts: tuple[str, str]
) -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]
        monkeypatch.setattr(plain.socket, "getaddrinfo", lambda *_, **__: found)
        with contextlib.closing(connect(TcpAddress("two", port))) as connection:
            assert connection._sock.getpeername()[0] == "127.0.0.2"


def test_without_a_descriptor_it_is_not_the_peer_that_is_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(plain, "_connected_to", none_left)
    with pytest.raises(HostError, match="cannot connect to unix:x: Too many open files"):
        connect(UnixAddress("x"))


def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    """A destination that is busy for a moment is no absent one."""
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)

        def accept() -> None:
            time.sleep(0.2)  # while the other side is in connect
            listener.accept()[0].close()

        thread = threading.Thread(target=accept)
        thread.start()
        connect(UnixAddress(path), timeout=10).close()
        thread.join()
