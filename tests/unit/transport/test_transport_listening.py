"""Listening: what is left alone and removed, every answer of a name, and what is accepted."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from connecting import SETTLE, one_accepted, taken
from leftovers import no_descriptor_left
from ramferry.errors import HostError, PeerUnreachable, UsageError
from ramferry.transport import listening
from ramferry.transport.address import Address, TcpAddress, UnixAddress, parse_address
from ramferry.transport.connection import Connection
from ramferry.transport.listening import Listener
from ramferry.transport.monitor_socket import MonitorServer
from ramferry.transport.plain import connect
from ramferry.transport.security import IN_THIS_HOST, WITHOUT_MEMORY

needs_ipv6 = pytest.mark.skipif(
    not Path("/proc/net/if_inet6").exists(), reason="this host has no IPv6"
)


def stale_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()


def assert_joined(near: Connection, far: Connection) -> None:
    for sender, receiver in ((near, far), (far, near)):
        sender.settle(SETTLE)
        receiver.settle(SETTLE)
        sender.send([b"hello"])
        assert taken(receiver, 5) == b"hello"


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    stale_socket(path)
    address = UnixAddress(str(path))
    with Listener(address) as listener, contextlib.closing(connect(address)):
        assert listener.address == address
        one_accepted(listener).connection.close()


def test_a_live_unix_socket_is_left_alone_and_not_even_connected_to(tmp_path: Path) -> None:
    # a connection that closes at once would end a QEMU that waits there for its migration
    path = tmp_path / "relay.sock"
    address = UnixAddress(str(path))
    with Listener(address) as listener:
        with pytest.raises(HostError, match=f"cannot listen on unix:{path}: another process"):
            Listener(address)
        assert listener.accept() is None
        connect(address).close()


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
    with (
        Listener(TcpAddress("127.0.0.1", 0)) as listener,
        no_descriptor_left(),
        pytest.raises(HostError),
    ):
        Listener(listener.address)


def test_a_host_that_has_no_address_is_named() -> None:
    with pytest.raises(HostError, match=r"no-such-host\.invalid"):
        Listener(TcpAddress("no-such-host.invalid", 0), security=WITHOUT_MEMORY)
    with pytest.raises(PeerUnreachable, match=r"no-such-host\.invalid"):
        connect(TcpAddress("no-such-host.invalid", 1))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_accepts_where_it_says_that_it_listens(host: str) -> None:
    if host == "::1" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this host has no IPv6")
    with Listener(TcpAddress(host, 0)) as listener:
        address = listener.address
        assert isinstance(address, TcpAddress)
        assert address.port
        with contextlib.closing(connect(address)) as near:
            accepted = one_accepted(listener)
            assert_joined(near, accepted.connection)
            accepted.connection.close()


@pytest.mark.parametrize("uri", ["tcp:0.0.0.0:0", "tcp::0", "relay:192.0.2.1:0", "tls:127.0.0.1:0"])
def test_nothing_listens_where_the_policy_does_not_allow_it(uri: str) -> None:
    address = parse_address(uri)
    with pytest.raises(UsageError) as wanted:
        IN_THIS_HOST.check_listen(address)
    with no_descriptor_left(), pytest.raises(UsageError) as caught:
        Listener(address)
    assert str(caught.value) == str(wanted.value)


def test_a_monitor_asks_for_its_own_consent() -> None:
    with pytest.raises(UsageError, match="whoever connects to a monitor has the guest"):
        MonitorServer(TcpAddress("0.0.0.0", 0), lambda _: None)
    with MonitorServer(TcpAddress("0.0.0.0", 0), lambda _: None, WITHOUT_MEMORY) as server:
        assert isinstance(server.address, TcpAddress)
        connect(TcpAddress("127.0.0.1", server.address.port)).close()


def test_a_listener_without_a_host_accepts_from_everywhere() -> None:
    with Listener(TcpAddress("", 0), security=WITHOUT_MEMORY) as listener:
        address = listener.address
        assert isinstance(address, TcpAddress)
        connect(TcpAddress("", address.port)).close()


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
        connect(UnixAddress(str(path))).close()
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
        if sock is first.sockets[0] and not followers:
            followers.append(Listener(address))

    monkeypatch.setattr(socket.socket, "close", close_and_be_followed)
    first.close()
    with followers[0]:
        connect(address).close()


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


def at_two_addresses(monkeypatch: pytest.MonkeyPatch) -> Listener:
    """A listener at a name that is 127.0.0.2 and 127.0.0.3."""
    answers = answering((socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.3"))
    with monkeypatch.context() as patch:
        patch.setattr(listening.socket, "getaddrinfo", answers)
        return Listener(TcpAddress("two", 0), security=WITHOUT_MEMORY)


@needs_ipv6
def test_without_a_host_it_listens_as_qemu_does_on_both_families() -> None:
    with Listener(TcpAddress("", 0), security=WITHOUT_MEMORY) as listener:
        assert isinstance(listener.address, TcpAddress)
        for host in ("127.0.0.1", "::1"):
            connect(TcpAddress(host, listener.address.port)).close()
        assert [sock.family for sock in listener.sockets] == [socket.AF_INET, socket.AF_INET6]
        assert str(listener.address) == f"tcp::{listener.address.port}"


@needs_ipv6
def test_the_ipv6_wildcard_takes_ipv4_too_as_qemus_does() -> None:
    with Listener(TcpAddress("::", 0), security=WITHOUT_MEMORY) as listener:
        assert isinstance(listener.address, TcpAddress)
        for host in ("127.0.0.1", "::1"):
            connect(TcpAddress(host, listener.address.port)).close()


@needs_ipv6
def test_the_ipv4_wildcard_takes_ipv4_only_as_qemus_does() -> None:
    with Listener(TcpAddress("0.0.0.0", 0), security=WITHOUT_MEMORY) as listener:
        assert isinstance(listener.address, TcpAddress)
        with pytest.raises(PeerUnreachable):
            connect(TcpAddress("::1", listener.address.port))


def test_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with at_two_addresses(monkeypatch) as listener:
        assert isinstance(listener.address, TcpAddress)
        assert listener.address.host == "two"
        for host in ("127.0.0.2", "127.0.0.3"):
            connect(TcpAddress(host, listener.address.port)).close()


def test_an_address_that_this_host_lacks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = answering((socket.AF_INET, "192.0.2.1"), (socket.AF_INET, "127.0.0.2"))
    with monkeypatch.context() as patch:
        patch.setattr(listening.socket, "getaddrinfo", answers)
        with Listener(TcpAddress("two", 0), security=WITHOUT_MEMORY) as listener:
            assert len(listener.sockets) == 1
        patch.setattr(listening.socket, "getaddrinfo", answering((socket.AF_INET, "192.0.2.1")))
        with pytest.raises(HostError, match=os.strerror(errno.EADDRNOTAVAIL)):
            Listener(TcpAddress("two", 0), security=WITHOUT_MEMORY)


def test_one_address_that_is_taken_refuses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = answering((socket.AF_INET, "127.0.0.3"), (socket.AF_INET, "127.0.0.2"))
    with Listener(TcpAddress("127.0.0.2", 0)) as taken, monkeypatch.context() as patch:
        assert isinstance(taken.address, TcpAddress)
        patch.setattr(listening.socket, "getaddrinfo", answers)
        with no_descriptor_left(), pytest.raises(HostError, match="Address already in use"):
            Listener(TcpAddress("two", taken.address.port), security=WITHOUT_MEMORY)


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
        with Listener(TcpAddress("two", 0), security=WITHOUT_MEMORY) as listener:
            assert isinstance(listener.address, TcpAddress)
            assert [listener.address.port] != tried
            assert len(listener.sockets) == 2


# --- what is accepted


@pytest.fixture(params=["unix", "tcp"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    unix, tcp = UnixAddress(str(tmp_path / "it")), TcpAddress("127.0.0.1", 0)
    address: Address = unix if request.param == "unix" else tcp
    with Listener(address) as listener:
        yield listener


def test_where_nobody_waits_none_is_accepted(listener: Listener) -> None:
    assert listener.accept() is None


def test_each_connection_that_waits_is_accepted_once_in_order(listener: Listener) -> None:
    with contextlib.ExitStack() as stack:
        for at in range(3):
            near = connect(listener.address)
            stack.callback(near.close)
            near.send([bytes([at])])
        for at in range(3):
            far = one_accepted(listener).connection
            stack.callback(far.close)
            far.settle(SETTLE)
            assert taken(far, 1) == bytes([at])
        assert listener.accept() is None


def test_what_is_accepted_is_windowed_as_its_address_is(listener: Listener) -> None:
    with contextlib.closing(connect(listener.address)) as near:
        accepted = one_accepted(listener)
        with contextlib.closing(accepted.connection):
            is_tcp = isinstance(listener.address, TcpAddress)
            assert accepted.connection.windowed == near.windowed == is_tcp


def test_what_is_accepted_does_not_wait_until_it_is_settled(listener: Listener) -> None:
    with (
        contextlib.closing(connect(listener.address)),
        contextlib.closing(one_accepted(listener).connection) as far,
    ):
        assert far.receive_some(memoryview(bytearray(4))) is None


def test_a_connection_that_its_maker_has_closed_already_is_accepted(listener: Listener) -> None:
    near = connect(listener.address)
    near.send([b"bye"])
    near.close()
    with contextlib.closing(one_accepted(listener).connection) as far:
        far.settle(SETTLE)
        assert taken(far, 10) == b"bye"


def test_its_descriptors_are_readable_while_a_connection_waits(listener: Listener) -> None:
    def readable() -> list[int]:
        return select.select(listener.filenos(), [], [], 0)[0]

    assert len(listener.filenos()) == len(listener.sockets)
    assert readable() == []
    with contextlib.closing(connect(listener.address)):
        select.select(listener.filenos(), [], [], SETTLE)
        assert readable() == listener.filenos()
        one_accepted(listener).connection.close()
        assert readable() == []


def test_a_connection_at_any_of_its_addresses_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with at_two_addresses(monkeypatch) as listener:
        assert isinstance(listener.address, TcpAddress)
        assert len(listener.filenos()) == 2
        for host in ("127.0.0.2", "127.0.0.3"):
            with contextlib.closing(connect(TcpAddress(host, listener.address.port))) as near:
                accepted = one_accepted(listener)
                assert_joined(near, accepted.connection)
                accepted.connection.close()


def test_the_origin_of_a_tcp_peer_is_its_host() -> None:
    with Listener(TcpAddress("127.0.0.1", 0)) as listener, socket.socket() as near:
        assert isinstance(listener.address, TcpAddress)
        near.bind(("127.0.0.9", 0))
        near.connect(("127.0.0.1", listener.address.port))
        accepted = one_accepted(listener)
        accepted.connection.close()
        assert accepted.origin == "127.0.0.9"


CONNECT_AND_WAIT = """
import socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
sys.stdin.read()
"""


def test_the_origin_of_a_unix_peer_is_its_process(tmp_path: Path) -> None:
    path = str(tmp_path / "it")
    with Listener(UnixAddress(path)) as listener:
        with contextlib.closing(connect(listener.address)):
            ours = one_accepted(listener)
            ours.connection.close()
        command = [sys.executable, "-c", CONNECT_AND_WAIT, path]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            another = one_accepted(listener)
            another.connection.close()
            process.communicate()
    assert ours.origin == f"process {os.getpid()}"
    assert another.origin == f"process {process.pid}"


# --- what accept(2) tells


class _Failing:
    """A listening socket whose ``accept`` raises what it is given before it accepts."""

    def __init__(self, sock: socket.socket, *errors: int) -> None:
        self._sock, self._errors = sock, list(errors)

    def accept(self) -> tuple[socket.socket, object]:
        if self._errors:
            error = self._errors.pop(0)
            raise OSError(error, os.strerror(error))
        return self._sock.accept()

    def close(self) -> None:
        self._sock.close()


def failing(listener: Listener, *errors: int) -> Listener:
    """``listener``, whose first socket first raises each of ``errors``."""
    first, *others = listener.sockets
    listener.sockets = [cast(socket.socket, _Failing(first, *errors)), *others]
    return listener


# accept(2): "treat them like EAGAIN by retrying", and what a firewall or a close before it causes
OF_ONE = [
    errno.ENETDOWN,
    errno.EPROTO,
    errno.ENOPROTOOPT,
    errno.EHOSTDOWN,
    errno.ENONET,
    errno.EHOSTUNREACH,
    errno.EOPNOTSUPP,
    errno.ENETUNREACH,
    errno.ECONNABORTED,
    errno.EPERM,
]


@pytest.mark.parametrize("error", OF_ONE, ids=errno.errorcode.get)
def test_a_connection_gone_before_it_could_be_accepted_is_passed_over(
    listener: Listener, error: int
) -> None:
    with contextlib.closing(connect(listener.address)) as near:
        select.select(listener.filenos(), [], [], SETTLE)
        accepted = failing(listener, error, error).accept()
        assert accepted is not None
        assert_joined(near, accepted.connection)
        accepted.connection.close()


def test_one_that_is_gone_and_none_after_it_is_none(listener: Listener) -> None:
    assert failing(listener, errno.ECONNABORTED).accept() is None


def test_one_that_is_gone_at_one_address_keeps_nobody_from_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with at_two_addresses(monkeypatch) as listener:
        assert isinstance(listener.address, TcpAddress)
        with contextlib.closing(connect(TcpAddress("127.0.0.3", listener.address.port))):
            select.select(listener.filenos(), [], [], SETTLE)
            accepted = failing(listener, errno.EPROTO).accept()
            assert accepted is not None
            accepted.connection.close()


@pytest.mark.parametrize(
    "error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM], ids=errno.errorcode.get
)
def test_want_of_descriptors_or_memory_is_raised_and_nobody_is_lost(
    listener: Listener, error: int
) -> None:
    with contextlib.closing(connect(listener.address)) as near:
        select.select(listener.filenos(), [], [], SETTLE)
        failing(listener, error)
        with pytest.raises(OSError, match=os.strerror(error)):
            listener.accept()
        accepted = listener.accept()
        assert accepted is not None
        assert_joined(near, accepted.connection)
        accepted.connection.close()


def test_without_a_descriptor_left_the_kernel_is_believed(listener: Listener) -> None:
    with contextlib.closing(connect(listener.address)):
        select.select(listener.filenos(), [], [], SETTLE)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.ExitStack() as stack:
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            # descriptors are given from the lowest: the next one is beyond this limit
            spare = os.dup(0)
            os.close(spare)
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
            with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
                listener.accept()
        one_accepted(listener).connection.close()
