"""HTTP for Prometheus: who asks is answered, who dawdles is dropped, and nothing is left."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from leftovers import no_descriptor_left, no_thread_left
from ramferry.errors import HostError, UsageError
from ramferry.telemetry.collector import RelayMetrics
from ramferry.telemetry.server import MetricsServer, parse_metrics_address
from ramferry.transport import http as module
from ramferry.transport.address import TcpAddress, UnixAddress

LOOPBACK = TcpAddress("127.0.0.1", 0)


@pytest.fixture
def served() -> Iterator[MetricsServer]:
    with no_descriptor_left(), no_thread_left():
        server = MetricsServer(LOOPBACK, RelayMetrics("zstd").registry, pytest.fail)
        yield server
        server.close()


def place(server: MetricsServer) -> tuple[str, int]:
    address = server.address
    assert isinstance(address, TcpAddress)
    return address.host, address.port


def ask(server: MetricsServer, method: str = "GET") -> tuple[int, str, str]:
    with contextlib.closing(HTTPConnection(*place(server), timeout=30)) as connection:
        connection.request(method, "/metrics", headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def test_who_asks_is_answered(served: MetricsServer) -> None:
    status, kind, text = ask(served)
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert "# TYPE ramferry_migrations_total counter\n" in text
    assert "process_resident_memory_bytes " in text
    assert ask(served)[0] == 200
    assert ask(served, "POST")[0] == 405


def test_at_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    server = MetricsServer(
        parse_metrics_address(f"unix:{path}"), RelayMetrics("zstd").registry, pytest.fail
    )
    with contextlib.closing(server), socket.socket(socket.AF_UNIX) as sock:
        assert not server.exposed
        sock.settimeout(30)
        sock.connect(str(path))
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with sock.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.0 200 OK\r\n"
            assert b"\nramferry_build_info{" in answer.read()
    assert not path.exists()


def test_one_who_says_nothing_is_dropped(
    served: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.2)
    silent = [socket.create_connection(place(served), 30) for _ in range(3)]
    assert ask(served)[0] == 200
    for one in silent:
        assert one.recv(1) == b""
        one.close()


def test_one_who_trickles_is_dropped(
    served: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.3)
    with socket.create_connection(place(served), 30) as slow:
        slow.settimeout(0.05)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 600:
                sent += slow.send(b"x")
                with contextlib.suppress(TimeoutError):
                    assert slow.recv(1) == b""
                    break
    assert sent < 600
    assert ask(served)[0] == 200


def test_nonsense_is_answered_with_an_error(served: MetricsServer) -> None:
    for nonsense in (b"\0\xff\r\n\r\n", b"GET\r\n\r\n", b"x" * 70000 + b"\r\n"):
        with socket.create_connection(place(served), 30) as sock, contextlib.suppress(OSError):
            sock.sendall(nonsense)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                continue
    assert ask(served)[0] == 200


def test_a_fault_of_our_own_is_told_and_the_next_is_answered() -> None:
    class Faulty:
        def collect(self) -> Iterator[Metric]:
            raise ValueError("a fault")

    registry, notes = CollectorRegistry(), list[str]()
    registry.register(
        Faulty(),
    )  # type: ignore[arg-type]
    with contextlib.closing(MetricsServer(LOOPBACK, registry, notes.append)) as server:
        assert [ask(server)[0] for _ in range(2)] == [500, 500]
    assert notes == ["the metrics could not be told: ValueError('a fault')"] * 2


def test_an_address_in_use_is_an_error(served: MetricsServer) -> None:
    with no_thread_left(), pytest.raises(HostError, match="Address already in use"):
        MetricsServer(served.address, CollectorRegistry(), pytest.fail)


def test_addresses() -> None:
    assert parse_metrics_address("127.0.0.1:19470") == TcpAddress("127.0.0.1", 19470)
    assert parse_metrics_address("[::1]:1") == TcpAddress("::1", 1)
    assert parse_metrics_address("tcp:a:1") == TcpAddress("a", 1)
    assert parse_metrics_address("unix:/run/m") == UnixAddress("/run/m")
    for wrong in ("19470", "tls:a:1", "relay:a:1", "a:b", "127.0.0.1:99999", "unix:"):
        with pytest.raises(UsageError, match="is no address for metrics: write HOST:PORT or unix"):
            parse_metrics_address(wrong)
    server = MetricsServer(TcpAddress("0.0.0.0", 0), CollectorRegistry(), pytest.fail)
    with contextlib.closing(server):
        assert server.exposed
