"""TLS's handshake on a connected socket, with a time limit, and in words where it fails."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ramferry.patience import Patience
from ramferry.transport import sockets
from ramferry.transport.tls import LOOK, Tls
from ramferry.transport.tls_reasons import is_plaintext, why
from ramferry.transport.wire_socket import WireSocket
from ramferry.wire import grammar, packets, relay_opening

SECONDS: Final = 30.0
"""Seconds that a handshake may take. A QEMU that is the destination makes 255 of them one after
another, in 50 ms each."""
FIRST_BYTES: Final = 4
"""Bytes by which whoever does not speak TLS is known."""
_CLIENT_HELLO: Final = b"\x16"
"""How a client begins."""
PROTOCOL_VERSION_ALERT: Final = bytes.fromhex("15 0303 0002 02 46")
"""What a peer that began in plaintext is told: TLS's own word for it, with which every server of
TLS answers (RFC 8446 section 6: fatal, protocol_version)."""


SAID_NOTHING: Final = "it ended the connection where TLS was to begin"


class Failed(Exception):
    """It did not succeed; the text is a phrase about the other side, ``it``."""


class Watch:
    """Whoever looks at a handshake from outside."""

    begun = False
    """Whether the other side has said something."""

    def __init__(self, check: Callable[[], None]) -> None:
        """:param check: called several times a second; if it raises, the handshake ends."""
        self.check = check


class TooLate(Failed):
    """The other side did not do its part in time."""


class Silent(Failed):
    """The other side said nothing, or plaintext: it may not speak TLS."""


def as_server(
    sock: socket.socket,
    context: ssl.SSLContext,
    watch: Watch,
    seconds: float = SECONDS,
) -> Tls:
    """Make the handshake of a side that was connected to.

    :param sock: owned by the returned connection; closed if this raises.
    :param watch: asked several times a second; if it raises, the handshake ends.
    :raise Failed: see there. The other side was told.
    """
    with sockets.closing_on_error(sock):
        patience = Patience(seconds)
        _prepare(sock)
        first = _first(sock, patience, watch)
        watch.begun = True
        if not first:
            raise Failed("it closed the connection before TLS's handshake")
        if first[:1] != _CLIENT_HELLO:
            with suppress(OSError):
                sock.send(PROTOCOL_VERSION_ALERT)
            sockets.let_read(sock)
            raise Failed(_plaintext(first))
        secured = _wrapped(sock, context, server_side=True)
    with sockets.closing_on_error(secured):
        try:
            _shake(secured, patience, watch)
        except OSError as error:
            sockets.let_read(secured)
            raise Failed(_told(error, "")) from error
        return Tls(secured)


def as_client(
    sock: socket.socket,
    context: ssl.SSLContext,
    name: str,
    watch: Watch,
    seconds: float = SECONDS,
) -> Tls:
    """Make the handshake of a side that has connected.

    :param sock: owned by the returned connection; closed if this raises.
    :param name: what the other side's certificate has to bear: a host, or an IP address.
    :param watch: asked several times a second; if it raises, the handshake ends.
    :raise Failed: see there.
    """
    with sockets.closing_on_error(sock):
        patience = Patience(seconds)
        _prepare(sock)
        secured = _wrapped(sock, context, server_hostname=name)
    with sockets.closing_on_error(secured):
        try:
            _shake(secured, patience, watch)
        except TooLate as error:
            if secured.cipher() is None:
                raise Silent(f"it said nothing within {patience.seconds:.0f} s") from error
            raise
        except OSError as error:
            ended = isinstance(error, ssl.SSLEOFError) or not isinstance(error, ssl.SSLError)
            if ended and secured.cipher() is None:  # it said nothing
                raise Silent(SAID_NOTHING) from error
            kind = Silent if isinstance(error, ssl.SSLError) and is_plaintext(error) else Failed
            raise kind(_told(error, name)) from error
        return Tls(secured)


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _wrapped(sock: socket.socket, context: ssl.SSLContext, **how: Any) -> WireSocket:
    """
    :raise Failed: the connection has ended.
    """
    try:
        secured = context.wrap_socket(
            sock, do_handshake_on_connect=False, suppress_ragged_eofs=False, **how
        )
    except OSError as error:
        raise Failed(_told(error, "")) from error
    assert isinstance(secured, WireSocket)
    return secured


def _first(sock: socket.socket, patience: Patience, watch: Watch) -> bytes:
    """Wait for the other side's first bytes, and leave them there; empty at its end."""
    _until(sock, select.POLLIN, patience, watch)
    try:
        # of a socket with TLS, ssl does not let this be asked
        return socket.socket.recv(sock, FIRST_BYTES, socket.MSG_PEEK)
    except OSError:
        return b""


def _shake(secured: WireSocket, patience: Patience, watch: Watch) -> None:
    while True:
        try:
            return secured.do_handshake()
        except ssl.SSLWantReadError:
            wanted = select.POLLIN
        except ssl.SSLWantWriteError:
            wanted = select.POLLOUT
        _until(secured, wanted, patience, watch)


def _until(sock: socket.socket, wanted: int, patience: Patience, watch: Watch) -> None:
    poll = select.poll()
    poll.register(sock, wanted)
    # gnutls writes its last flight in pieces, and the kernel there keeps the second one back until
    # the first is acknowledged: 40 ms later, unless that is done at once
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    while not poll.poll(min(patience.left, LOOK) * 1e3):
        watch.check()
        if patience.over and not poll.poll(0):
            raise TooLate(f"it did not end TLS's handshake within {patience.seconds:.0f} s")


def _plaintext(first: bytes) -> str:
    channel = "main" if first == grammar.MAGIC else "a multifd channel"
    if first in (grammar.MAGIC, packets.MAGIC.to_bytes(4, "big")):
        who = f"as {channel} of a QEMU without tls-creds, or of a relay at tcp:, does"
    elif first == relay_opening.MAGIC:
        who = "as a Ramferry without certificates does: give it --tls-creds"
    else:
        who = f"by {first.hex()}"
    return f"it began in plaintext, {who}; TLS is spoken here"


def _told(error: OSError, name: str) -> str:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLSyscallError):
        return "it ended the connection in TLS's handshake"
    if isinstance(error, ssl.SSLError):
        return why(error, name)
    return f"it ended the connection in TLS's handshake: {sockets.reason(error)}"
