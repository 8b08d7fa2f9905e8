"""Listening: what is left alone, what is removed, and that every answer of a name is heard at."""

from __future__ import annotations

import errno
import gc
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ramferry.errors import HostError, PeerUnreachable
from ramferry.transport import listening, sockets
from ramferry.transport.address import TcpAddress, UnixAddress
from ramferry.transport.listening import Listener

needs_ipv6 = pytest.mark.skipif(
    not Path("/proc/net/if_inet6").exists(), reason="this host has no IPv6"
)


def stale_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    stale_socket(path)
    address = UnixAddress(str(path))
    with Listener(address) as listener, sockets.connect(address):
        assert listener.address == address
        listener.first.accept()[0].close()


def test_a_live_unix_socket_is_left_alone_and_not_even_connected_to(tmp_path: Path) -> None:
    # a connection that closes at once would end a QEMU that waits there for its migration
    path = tmp_path / "relay.sock"
    address = UnixAddress(str(path))
    with Listener(address) as listener:
        with pytest.raises(HostError, match=f"cannot listen on unix:{path}: another process"):
            Listener(address)
        with pytest.raises(BlockingIOError):
            listener.first.accept()
        sockets.connect(address).close()


def test_a_live_unix_socket_under_another_name_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Listener(UnixAddress("relay.sock")):
        with pytest.raises(HostError, match="another process listens there"):
            Listener(UnixAddress(str(tmp_path / "relay.sock")))
        assert (tmp_path / "relay.sock").is_socket()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_path_that_is_no_socket_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "precious"
    if kind == "file":
        path.write_text("kept")
    else:
        path.mkdir()
    with pytest.raises(HostError, match="the path exists and is not a socket"):
        Listener(UnixAddress(str(path)))
    assert path.exists()
    assert kind == "folder" or path.read_text() == "kept"


def test_a_folder_that_does_not_exist_is_a_host_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No such file or directory"):
        Listener(UnixAddress(str(tmp_path / "nowhere" / "relay.sock")))


def test_a_port_in_use_is_a_host_error() -> None:
    with Listener(TcpAddress("127.0.0.1", 0)) as listener:
        taken = listener.address
        with pytest.raises(HostError, match=f"cannot listen on {taken}: Address already in use"):
            Listener(taken)


def test_a_refused_listener_leaves_no_descriptor() -> None:
    with Listener(TcpAddress("127.0.0.1", 0)) as listener:
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(HostError):
            Listener(listener.address)
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_host_that_has_no_address_is_named() -> None:
    with pytest.raises(HostError, match=r"no-such-host\.invalid"):
        Listener(TcpAddress("no-such-host.invalid", 0))
    with pytest.raises(PeerUnreachable, match=r"no-such-host\.invalid"):
        sockets.connect(TcpAddress("no-such-host.invalid", 1))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_accepts_where_it_says_that_it_listens(host: str) -> None:
    if host == "::1" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this host has no IPv6")
    with Listener(TcpAddress(host, 0)) as listener:
        address = listener.address
        assert isinstance(address, TcpAddress)
        assert address.port
        with sockets.connect(address) as sock:
            assert sock.getpeername()[1] == address.port


def test_a_listener_without_a_host_accepts_from_everywhere() -> None:
    with Listener(TcpAddress("", 0)) as listener:
        address = listener.address
        assert isinstance(address, TcpAddress)
        sockets.connect(TcpAddress("", address.port)).close()


# --- what is removed at the end


def test_its_path_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    Listener(UnixAddress(str(path))).close()
    assert not path.exists()


def test_a_path_that_another_took_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    first = Listener(UnixAddress(str(path)))
    path.unlink()
    with Listener(UnixAddress(str(path))):
        first.close()
        sockets.connect(UnixAddress(str(path))).close()
    assert not path.exists()


def test_nobody_can_take_its_path_before_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the end of listening and the path's, another relay finds a stale socket."""
    address = UnixAddress(str(tmp_path / "relay.sock"))
    first, followers = Listener(address), list[Listener]()
    close = socket.socket.close

    def close_and_be_followed(sock: socket.socket) -> None:
        close(sock)
        if sock is first.first and not followers:
            followers.append(Listener(address))

    monkeypatch.setattr(socket.socket, "close", close_and_be_followed)
    first.close()
    with followers[0]:
        sockets.connect(address).close()


# --- every answer


def answering(*answers: tuple[int, str]) -> Callable[..., object]:
    """A resolver that knows one name with these addresses."""

    def getaddrinfo(host: object, port: int, **_: object) -> list[tuple[object, ...]]:
        assert host in ("two", None)
        found = []
        for family, place in answers:
            more = (0, 0) if family == socket.AF_INET6 else ()
            found.append((family, socket.SOCK_STREAM, 6, "", (place, port, *more)))
        return found

    return getaddrinfo


@needs_ipv6
def test_without_a_host_it_listens_as_qemu_does_on_both_families() -> None:
    with Listener(TcpAddress("", 0)) as listener:
        assert isinstance(listener.address, TcpAddress)
        for host in ("127.0.0.1", "::1"):
            sockets.connect(TcpAddress(host, listener.address.port)).close()
        assert [sock.family for sock in listener.sockets] == [socket.AF_INET, socket.AF_INET6]
        assert str(listener.address) == f"tcp::{listener.address.port}"


@needs_ipv6
def test_the_ipv6_wildcard_takes_ipv4_too_as_qemus_does() -> None:
    with Listener(TcpAddress("::", 0)) as listener:
        assert isinstance(listener.address, TcpAddress)
        for host in ("127.0.0.1", "::1"):
            sockets.connect(TcpAddress(host, listener.address.port)).close()


@needs_ipv6
def test_the_ipv4_wildcard_takes_ipv4_only_as_qemus_does() -> None:
    with Listener(TcpAddress("0.0.0.0", 0)) as listener:
        assert isinstance(listener.address, TcpAddress)
        with pytest.raises(PeerUnreachable):
            sockets.connect(TcpAddress("::1", listener.address.port))


def test_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = answering((socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.3"))
    with monkeypatch.context() as patch:
        patch.setattr(listening.socket, "getaddrinfo", answers)
        listener = Listener(TcpAddress("two", 0))
    with listener:
        assert isinstance(listener.address, TcpAddress)
        assert listener.address.host == "two"
        for host in ("127.0.0.2", "127.0.0.3"):
            sockets.connect(TcpAddress(host, listener.address.port)).close()


def test_an_address_that_this_host_lacks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = answering((socket.AF_INET, "192.0.2.1"), (socket.AF_INET, "127.0.0.2"))
    with monkeypatch.context() as patch:
        patch.setattr(listening.socket, "getaddrinfo", answers)
        with Listener(TcpAddress("two", 0)) as listener:
            assert len(listener.sockets) == 1
        patch.setattr(listening.socket, "getaddrinfo", answering((socket.AF_INET, "192.0.2.1")))
        with pytest.raises(HostError, match=os.strerror(errno.EADDRNOTAVAIL)):
            Listener(TcpAddress("two", 0))


def test_one_address_that_is_taken_refuses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = answering((socket.AF_INET, "127.0.0.3"), (socket.AF_INET, "127.0.0.2"))
    with Listener(TcpAddress("127.0.0.2", 0)) as taken, monkeypatch.context() as patch:
        assert isinstance(taken.address, TcpAddress)
        patch.setattr(listening.socket, "getaddrinfo", answers)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(HostError, match="Address already in use"):
            Listener(TcpAddress("two", taken.address.port))
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_port_that_is_free_in_one_place_only_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = answering((socket.AF_INET, "127.0.0.3"), (socket.AF_INET, "127.0.0.2"))
    begin, tried = listening._begin, list[int]()

    def begin_and_take_the_other(sock: socket.socket, backlog: int) -> None:
        begin(sock, backlog)
        host, port = sock.getsockname()
        if host == "127.0.0.3" and not tried:
            tried.append(port)
            taken.bind(("127.0.0.2", port))
            taken.listen()

    with socket.socket() as taken, monkeypatch.context() as patch:
        patch.setattr(listening.socket, "getaddrinfo", answers)
        patch.setattr(listening, "_begin", begin_and_take_the_other)
        with Listener(TcpAddress("two", 0)) as listener:
            assert isinstance(listener.address, TcpAddress)
            assert [listener.address.port] != tried
            assert len(listener.sockets) == 2
