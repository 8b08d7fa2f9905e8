"""TLS: what begins a connection, and what is changed in one that is under way.

OpenSSL does the parsing. Tried is what is around it: that whatever comes ends in an error of ours,
and that the calls of OpenSSL that Ramferry makes itself hand out only what was sent.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from functools import cache
from typing import Final

from fuzz.guarded import Guarded
from fuzz.target import Target, chance_of
from ramferry.errors import PeerTimeout
from ramferry.transport import handshake
from ramferry.transport.address import parse_address
from ramferry.transport.one_time import NAME, make
from ramferry.transport.security import Security
from ramferry.transport.tls import Tls
from ramferry.transport.wire_socket import WireSocket

_ROOM: Final = Guarded(1 << 16)
_ADDRESS: Final = parse_address("relay:127.0.0.1:1")
_FIRST: Final = bytes.fromhex("1603010005010000010303")


@cache
def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    both = make()
    listens, connects = Security(both.listens), Security(both.connects, name=NAME)
    return listens.server(_ADDRESS), connects.client(_ADDRESS)


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        far = socket.create_connection(listening.getsockname())
        return listening.accept()[0], far


def check_hello(data: bytes) -> bool:
    """The first bytes of whoever connects; accepted if they get as far as an answer."""
    near, far = _pair()
    with far:
        far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        with contextlib.suppress(handshake.Failed):
            handshake.as_server(near, _contexts()[0], handshake.Watch(lambda: None), 5.0)
            raise AssertionError("a handshake of one side")
        assert near.fileno() == -1, "a socket that was left open"
        far.settimeout(5.0)
        with contextlib.suppress(ConnectionResetError):
            return far.recv(6)[:1] == b"\x16"
    return False


class _Sender:
    """The far end of a connection, whose records are not sent yet."""

    def __init__(self, sock: socket.socket) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._sock = sock
        self.tls = _contexts()[1].wrap_bio(self._in, self._out, server_hostname=NAME)

    def shake(self, server: WireSocket) -> None:
        """Make the handshake; both sides in turn."""
        left = {"client", "server"}
        while left:
            for name, side in (("client", self.tls), ("server", server)):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
                    left.discard(name)
                self._pump()

    def _pump(self) -> None:
        if out := self._out.read():
            self._sock.sendall(out)
        with contextlib.suppress(BlockingIOError):
            self._in.write(self._sock.recv(1 << 16))

    def records(self, pieces: list[bytes]) -> bytes:
        """The pieces, and the end, as they would be sent."""
        for piece in pieces:
            self.tls.write(piece)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._out.read()


def check_records(data: bytes) -> bool:
    """An input is where a connection's bytes are changed, and by what: u16, then bytes to be xored;
    an odd place means bytes that are put in between."""
    chance = chance_of(data)
    near, far = _pair()
    with far:
        far.setblocking(False)
        near.setblocking(False)
        server = _contexts()[0].wrap_socket(
            near, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
        assert isinstance(server, WireSocket)
        sender = _Sender(far)
        sender.shake(server)
        pieces = [chance.randbytes(chance.choice((1, 100, 5000))) for _ in range(3)]
        far.sendall(_changed(sender.records(pieces), data))
        far.shutdown(socket.SHUT_WR)
        return _received(Tls(server), b"".join(pieces))


def _changed(raw: bytes, data: bytes) -> bytes:
    at, change = int.from_bytes(data[:2], "big") % (len(raw) + 1), data[2:]
    if at % 2:
        return raw[:at] + change + raw[at:]
    mixed = bytes(one ^ other for one, other in zip(raw[at:], change, strict=False))
    return raw[:at] + mixed + raw[at + len(mixed) :]


def _received(connection: Tls, content: bytes) -> bool:
    came, whole = b"", False
    connection.settle(0.2)
    try:
        while True:
            view = _ROOM.buffer(1 << 14)
            count = connection.receive_some(view)
            _ROOM.check(1 << 14)
            if not count:
                whole = count == 0
                break
            came += view[:count]
    except (OSError, PeerTimeout):
        whole = False
    finally:
        connection.close()
    assert content.startswith(came), "bytes that were not sent"
    assert not whole or came == content, "an end that was not the sender's"
    return whole


@cache
def targets() -> list[Target]:
    """Both."""
    words = (
        b"\x16\x03\x01",
        b"\x16\x03\x03",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x17\x03\x03\x40\x00",
        b"\x14\x03\x03\x00\x01\x01",
    )
    return [
        Target(
            "tls-hello",
            check_hello,
            lambda: [_FIRST, b"QEVM", b"RFRY"],
            words,
            longest=4096,
            trials=60,
        ),
        Target(
            "tls-records",
            check_records,
            lambda: [b"\0\0", b"\0\x04\1", b"\0\1\x17"],
            words,
            longest=4096,
            trials=40,
        ),
    ]
