"""Sockets over real sockets: exact transfers, silence, what is unsent, how a connection ends."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramferry.errors import HostError, PeerTimeout, PeerUnreachable
from ramferry.transport import sockets
from ramferry.transport.address import Address, TcpAddress, UnixAddress

STALL = 0.15
SETTLE = 5.0

Pair = tuple[socket.socket, socket.socket]


def tcp_pair() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    near, far = socket.socketpair() if request.param == "unix" else tcp_pair()
    with near, far:
        yield near, far


@pytest.fixture
def tcp() -> Iterator[Pair]:
    near, far = tcp_pair()
    with near, far:
        yield near, far


class Aside(threading.Thread):
    """Runs ``function`` aside; ``result`` waits for it and raises what it raised."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__()
        self._function = function
        self._result: object = None
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._function()
        except Exception as error:
            self._error = error

    def result(self) -> object:
        self.join(SETTLE)
        assert not self.is_alive(), "still waiting"
        if self._error is not None:
            raise self._error
        return self._result


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def fill(sock: socket.socket) -> None:
    """Send until neither side takes more."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while sock.send(bytes(65536)):
            pass


def read_to_end(sock: socket.socket) -> None:
    while sock.recv(1 << 20):
        pass


# --- exact transfers


def test_receive_fills_the_view_however_the_bytes_come(pair: Pair) -> None:
    near, far = pair
    sockets.tune(near, SETTLE)
    data = os.urandom(10_000)

    def drip() -> None:
        for at in range(0, len(data), 777):
            far.sendall(data[at : at + 777])

    view = memoryview(bytearray(len(data)))
    sender = Aside(drip)
    assert sockets.receive_into(near, view) == len(data)
    sender.result()
    assert view == data


def test_receive_takes_no_byte_beyond_the_view(pair: Pair) -> None:
    near, far = pair
    far.sendall(b"abcdef")
    view = memoryview(bytearray(4))
    assert sockets.receive_into(near, view) == 4
    assert near.recv(10) == b"ef"


def test_receive_returns_what_came_before_the_end(pair: Pair) -> None:
    near, far = pair
    far.sendall(b"abc")
    far.close()
    view = memoryview(bytearray(8))
    assert sockets.receive_into(near, view) == 3
    assert bytes(view[:3]) == b"abc"
    assert sockets.receive_into(near, view) == 0


def test_an_empty_view_needs_no_bytes(pair: Pair) -> None:
    assert sockets.receive_into(pair[0], memoryview(bytearray())) == 0


@given(
    sizes=st.lists(st.integers(0, 5000), max_size=40),
    kinds=st.lists(st.sampled_from([bytes, bytearray, memoryview]), min_size=1, max_size=5),
)
def test_send_all_sends_every_part_in_order_through_tiny_buffers(
    sizes: list[int], kinds: list[Callable[[bytes], sockets.Buffer]]
) -> None:
    near, far = socket.socketpair()
    with near, far:
        # the smallest the kernel allows: most sends are partial, and end inside a part
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        sockets.tune(near, SETTLE)
        plain = [os.urandom(size) for size in sizes]
        parts = [kinds[at % len(kinds)](part) for at, part in enumerate(plain)]
        whole = b"".join(plain)
        got = memoryview(bytearray(len(whole)))
        reader = Aside(lambda: sockets.receive_into(far, got))
        assert sockets.send_all(near, parts) == len(whole)
        assert reader.result() == len(whole)
        assert got == whole
        assert parts == plain


def test_send_all_over_more_parts_than_one_call_takes(pair: Pair) -> None:
    near, far = pair
    sockets.tune(near, SETTLE)
    parts: list[sockets.Buffer] = [bytes([at % 251]) for at in range(os.sysconf("SC_IOV_MAX") + 5)]
    assert sockets.send_all(near, parts) == len(parts)
    got = memoryview(bytearray(len(parts)))
    assert sockets.receive_into(far, got) == len(parts)
    assert got == b"".join(parts)


# --- silence


def test_silence_in_the_middle_is_a_timeout_that_counts_the_bytes(pair: Pair) -> None:
    near, far = pair
    sockets.tune(near, STALL)
    far.sendall(b"abc")
    with pytest.raises(PeerTimeout, match="after 3 of 8 bytes"):
        sockets.receive_into(near, memoryview(bytearray(8)))


def test_silence_before_the_first_byte_is_a_timeout_unless_idle(pair: Pair) -> None:
    near, _ = pair
    sockets.tune(near, STALL)
    with pytest.raises(PeerTimeout, match="after 0 of 8 bytes"):
        sockets.receive_into(near, memoryview(bytearray(8)))


def test_an_idle_wait_outlasts_the_stall_limit(pair: Pair) -> None:
    near, far = pair
    sockets.tune(near, 0.02)
    view = memoryview(bytearray(2))
    waiter = Aside(lambda: sockets.receive_into(near, view, idle=True))
    waiter.join(0.1)
    assert waiter.is_alive()
    far.sendall(b"ok")
    assert waiter.result() == 2


def test_an_idle_wait_that_has_begun_to_receive_is_idle_no_more(pair: Pair) -> None:
    near, far = pair
    sockets.tune(near, STALL)
    far.sendall(b"o")
    with pytest.raises(PeerTimeout, match="after 1 of 2 bytes"):
        sockets.receive_into(near, memoryview(bytearray(2)), idle=True)


def test_a_slow_peer_is_no_silent_one(pair: Pair) -> None:
    """Longer than the limit in all; no pause is near it, also where a busy machine stretches it."""
    near, far = pair
    limit, pause, count = 1.0, 0.1, 12
    sockets.tune(near, limit)

    def drip() -> None:
        for _ in range(count):
            threading.Event().wait(pause)
            far.sendall(b"x")

    sender = Aside(drip)
    begun = time.monotonic()
    assert sockets.receive_into(near, memoryview(bytearray(count))) == count
    assert time.monotonic() - begun > limit
    sender.result()


def test_a_peer_that_takes_nothing_is_a_timeout(pair: Pair) -> None:
    near, _ = pair
    sockets.tune(near, STALL)
    with pytest.raises(PeerTimeout, match="takes no more bytes"):
        sockets.send_all(near, [bytes(16 << 20)])


# --- what is unsent


def test_unsent_is_zero_only_when_a_unix_peer_has_read_everything() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert sockets.unsent(near) == 0
        near.sendall(b"abcd")
        for _ in range(4):
            assert sockets.unsent(near) > 0
            far.recv(1)
        assert sockets.unsent(near) == 0


def test_unsent_counts_what_a_tcp_peer_has_not_acknowledged(tcp: Pair) -> None:
    near, far = tcp
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
    fill(near)
    assert sockets.unsent(near) > 0
    far.setblocking(False)

    def drained() -> bool:
        with contextlib.suppress(BlockingIOError):
            far.recv(1 << 20)
        return sockets.unsent(near) == 0

    until(drained)


def test_the_round_trip_of_loopback_is_small_and_a_unix_socket_has_none(pair: Pair) -> None:
    near, far = pair
    near.sendall(b"x")
    assert far.recv(1) == b"x"
    rtt = sockets.min_rtt(near)
    assert 0.0 <= rtt < 0.1
    assert (rtt == 0.0) == (near.family == socket.AF_UNIX)


def test_set_buffers_bounds_what_the_kernel_holds(pair: Pair) -> None:
    near, _ = pair
    sockets.set_buffers(near, send=65536, receive=131072)
    assert near.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 65536
    assert near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 131072


# --- ends


def test_finish_sending_delivers_everything_and_leaves_the_other_direction_open(pair: Pair) -> None:
    near, far = pair
    sockets.send_all(near, [b"last"])
    sockets.finish_sending(near)
    assert far.recv(10) == b"last"
    assert far.recv(10) == b""
    far.sendall(b"answer")
    assert near.recv(10) == b"answer"


@pytest.mark.parametrize("end", [sockets.cut, sockets.reset])
def test_an_end_wakes_threads_that_receive_and_that_send(
    pair: Pair, end: Callable[[socket.socket], None]
) -> None:
    near, _ = pair
    sockets.tune(near, 60)

    def receive() -> int:
        try:
            return sockets.receive_into(near, memoryview(bytearray(1)))
        except OSError:
            return -1

    def send() -> int:
        try:
            return sockets.send_all(near, [bytes(64 << 20)])
        except OSError:
            return -1

    receiver, sender = Aside(receive), Aside(send)
    until(lambda: sockets.unsent(near) > 0)
    end(near)
    assert receiver.result() in (0, -1)
    assert sender.result() == -1


def test_a_reset_reaches_a_peer_whose_window_is_full(tcp: Pair) -> None:
    near, far = tcp
    fill(near)
    sockets.reset(near)
    far.settimeout(SETTLE)
    with pytest.raises(ConnectionResetError):
        read_to_end(far)


def test_a_reset_reaches_a_peer_that_is_blocked_in_its_own_send(tcp: Pair) -> None:
    near, far = tcp
    sender = Aside(lambda: far.sendall(bytes(64 << 20)))
    until(lambda: sockets.unsent(far) > 0)
    sockets.reset(near)
    with pytest.raises(ConnectionError):
        sender.result()


def test_a_reset_arrives_also_where_the_kernel_refuses_to_disconnect(
    tcp: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Linux 6.4 to 6.6 answer EBUSY while another thread waits on the socket
    near, far = tcp
    monkeypatch.setattr(sockets.ctypes, "CDLL", lambda *_, **__: _Busy())
    fill(near)
    sockets.reset(near)
    near.close()
    far.settimeout(SETTLE)
    with pytest.raises(ConnectionResetError):
        read_to_end(far)


class _Busy:
    def connect(self, *_: object) -> int:
        return -1


def test_every_end_may_come_twice_and_on_a_closed_peer(pair: Pair) -> None:
    near, far = pair
    far.close()
    for end in (sockets.finish_sending, sockets.cut, sockets.reset) * 2:
        end(near)


# --- connecting


def stale_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()


def test_nobody_at_an_address_is_peer_unreachable(tmp_path: Path) -> None:
    stale_socket(tmp_path / "stale")
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    addresses: list[Address] = [
        UnixAddress(str(tmp_path / "none")),
        UnixAddress(str(tmp_path / "stale")),
        TcpAddress("127.0.0.1", free),
    ]
    for address in addresses:
        with pytest.raises(PeerUnreachable, match=f"nobody accepts at {address}: "):
            sockets.connect(address)


def test_a_listener_whose_queue_is_full_is_peer_unreachable_in_time(tmp_path: Path) -> None:
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        with pytest.raises(PeerUnreachable, match=f"nobody accepts at unix:{path}: "):
            sockets.connect(UnixAddress(path), timeout=STALL)


def test_a_tuned_tcp_connection_is_prompt_and_notices_a_dead_host(tcp: Pair) -> None:
    near, _ = tcp
    sockets.tune(near, 1.5)
    assert near.gettimeout() is None
    assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        seconds, micros = struct.unpack("@ll", near.getsockopt(socket.SOL_SOCKET, option, 16))
        assert seconds + micros / 1e6 == pytest.approx(1.5, abs=0.01)


# --- who made a connection, and when it spoke last


def test_what_has_come_and_was_not_received(tcp: Pair) -> None:
    near, far = tcp
    assert sockets.unread(near) == 0
    far.sendall(b"seven..")
    until(lambda: sockets.unread(near) == 7)
    near.recv(3)
    assert sockets.unread(near) == 4


def test_when_the_last_bytes_came(tcp: Pair) -> None:
    near, far = tcp
    before = time.monotonic()
    far.sendall(b"x")
    until(lambda: sockets.unread(near) == 1)
    heard = sockets.heard_at(near)
    assert before - 0.05 < heard < time.monotonic() + 0.05
    until(lambda: time.monotonic() > before + 0.2)
    assert sockets.heard_at(near) == pytest.approx(heard, abs=0.05)


def test_a_connection_is_known_by_its_host_or_process() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert sockets.origin(near, "") == f"process {os.getpid()}"
    near, far = tcp_pair()
    with near, far:
        assert sockets.origin(near, near.getpeername()) == "127.0.0.1"


def test_a_name_is_tried_by_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
            for host in ("127.0.0.3", "127.0.0.2")
        ]
        monkeypatch.setattr(sockets.socket, "getaddrinfo", lambda *_, **__: found)
        with sockets.connect(TcpAddress("two", port)) as sock:
            assert sock.getpeername()[0] == "127.0.0.2"


def test_without_a_descriptor_it_is_not_the_peer_that_is_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(sockets, "_connected_to", none_left)
    with pytest.raises(HostError, match="cannot connect to unix:x: Too many open files"):
        sockets.connect(UnixAddress("x"))


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
        sockets.connect(UnixAddress(path), timeout=10).close()
        thread.join()
