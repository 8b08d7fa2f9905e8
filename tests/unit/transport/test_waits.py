"""The kernel's counters of what a sender waits for, on sockets of this process."""

from __future__ import annotations

import socket
import time

from ramferry.transport.waits import waits_of


def test_a_peer_that_does_not_read_is_what_a_sender_waits_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        taker, _ = listener.accept()
        with sender, taker:
            sender.setblocking(False)
            deadline = time.monotonic() + 5
            by_peer = 0.0
            while by_peer < 0.05:
                assert time.monotonic() < deadline
                try:
                    sender.send(bytes(1 << 16))
                except BlockingIOError:
                    time.sleep(0.01)
                found = waits_of(sender.fileno())
                assert found is not None
                by_peer = found.by_peer
            assert found.busy >= found.by_peer
            # the descriptor is still the caller's
            assert sender.fileno() >= 0


def test_what_the_peers_host_has_is_acknowledged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        taker, _ = listener.accept()
        with sender, taker:
            sender.sendall(bytes(30_000))
            assert taker.recv(30_000, socket.MSG_WAITALL) == bytes(30_000)
            deadline = time.monotonic() + 5
            # the SYN counts as one in some kernels
            while (found := waits_of(sender.fileno())) is None or found.acked < 30_000:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            assert found.acked <= 30_001


def test_what_is_no_tcp_connection_has_none() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert waits_of(here.fileno()) is None
    assert waits_of(-1) is None
