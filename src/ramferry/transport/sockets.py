"""Sockets: connect, exact transfers, what is unsent, and how to end a connection."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import termios
import time
from collections.abc import Iterator
from typing import Any, Final

from ramferry.errors import HostError, PeerTimeout, PeerUnreachable
from ramferry.transport.address import Address, TcpAddress

Buffer = bytes | bytearray | memoryview

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for a connection to be accepted."""
OUT_OF_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE}
"""What the kernel answers where this process, or the host, has no descriptor left."""
_AF_UNSPEC_ADDRESS: Final = struct.pack("=H14x", socket.AF_UNSPEC)
_LINGER_0: Final = struct.pack("@ii", 1, 0)
_MOST_PARTS: Final = os.sysconf("SC_IOV_MAX")
_TCP_LAST_DATA_AT: Final = 52
"""Offset of ``tcpi_last_data_recv``, in milliseconds."""
_TCP_MIN_RTT_AT: Final = 148
"""Offset of ``tcpi_min_rtt`` in ``struct tcp_info`` (linux/tcp.h)."""


@contextlib.contextmanager
def closing_on_error(sock: socket.socket) -> Iterator[None]:
    """Close ``sock`` where the block fails."""
    try:
        yield
    except BaseException:
        sock.close()
        raise


def connect(address: Address, *, timeout: float = CONNECT_TIMEOUT) -> socket.socket:
    """A connected, blocking socket.

    :raise PeerUnreachable: nobody accepts there.
    :raise HostError: this process, or the host, has no descriptor left.
    """
    try:
        sock = _connected(address, timeout)
    except OSError as error:
        if error.errno in OUT_OF_DESCRIPTORS:
            raise HostError(f"cannot connect to {address}: {reason(error)}") from error
        why = "timed out" if isinstance(error, BlockingIOError) else reason(error)
        raise PeerUnreachable(f"nobody accepts at {address}: {why}") from error
    sock.settimeout(timeout)
    return sock


def _connected(address: Address, timeout: float) -> socket.socket:
    """By the kernel's clock, which starts anew where this process was stopped meanwhile."""
    answers: list[tuple[int, Any]] = [(socket.AF_UNIX, getattr(address, "path", ""))]
    if isinstance(address, TcpAddress):
        host = address.host or "127.0.0.1"
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)
        answers = [(family, place) for family, _, _, _, place in found]
    for family, place in answers[:-1]:
        with contextlib.suppress(OSError):
            return _connected_to(family, place, timeout)
    return _connected_to(*answers[-1], timeout)


def _connected_to(family: int, place: Any, timeout: float) -> socket.socket:
    sock = socket.socket(family)
    with closing_on_error(sock):
        _limit(sock, socket.SO_SNDTIMEO, timeout)
        sock.connect(place)
    return sock


def _limit(sock: socket.socket, option: int, seconds: float) -> None:
    limit = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, option, limit)


def tune(sock: socket.socket, stall_timeout: float, *, piece: float | None = None) -> None:
    """Make a connection blocking, prompt, and aware of a peer that went silent.

    A receive or send that moves nothing for ``stall_timeout`` seconds comes back instead of
    blocking for ever (``SO_RCVTIMEO``, ``SO_SNDTIMEO``): kernel timers cost no system call of
    their own, which Python's socket timeouts do.

    :param piece: a receive comes back so soon, with what there is; None: as a send.
    """
    sock.settimeout(None)
    receive = stall_timeout if piece is None else piece
    _limit(sock, socket.SO_RCVTIMEO, receive)
    _limit(sock, socket.SO_SNDTIMEO, stall_timeout)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def receive_into(sock: socket.socket, view: memoryview, *, idle: bool = False) -> int:
    """Fill ``view`` from the socket; returns fewer bytes only at the end of the stream.

    :param idle: silence before the first byte is no fault, so wait for it without limit.
    :raise PeerTimeout: the peer went silent for the stall limit.
    """
    filled = 0
    while filled < len(view):
        try:
            count = sock.recv_into(view[filled:], 0, socket.MSG_WAITALL)
        except BlockingIOError:
            if idle and not filled:
                continue
            raise PeerTimeout(f"the peer went silent after {filled} of {len(view)} bytes") from None
        if not count:
            break
        filled += count
    return filled


def send_all(sock: socket.socket, parts: list[Buffer]) -> int:
    """Send every byte of ``parts`` in order, without joining them; returns their sum.

    :raise PeerTimeout: the peer took nothing for the stall limit.
    """
    total = sum(map(len, parts))
    sent = _send(sock, parts)
    missing = total - sent
    while missing:
        parts = _after(parts, sent)
        sent = _send(sock, parts)
        missing -= sent
    return total


def _send(sock: socket.socket, parts: list[Buffer]) -> int:
    try:
        return sock.sendmsg(parts[:_MOST_PARTS])
    except BlockingIOError:
        raise PeerTimeout("the peer takes no more bytes") from None


def _after(parts: list[Buffer], sent: int) -> list[Buffer]:
    """``parts`` without their first ``sent`` bytes."""
    for index, part in enumerate(parts):
        if sent < len(part):
            return [memoryview(part)[sent:], *parts[index + 1 :]]
        sent -= len(part)
    return []


def unsent(sock: socket.socket) -> int:
    """Bytes the far side has not taken: unread by a UNIX peer, unacknowledged by a TCP one.

    For a UNIX socket 0 proves that the peer has read everything; for TCP, that its host has it.
    """
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("@i", answer)[0])


def unread(sock: socket.socket) -> int:
    """Bytes that have come and were not received."""
    answer = fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0" * 4)
    return int(struct.unpack("@i", answer)[0])


def origin(sock: socket.socket, peer: Any) -> str:
    """Who made a connection that was accepted: its host, or the process behind a UNIX socket.

    :param peer: the address that ``accept`` returned.
    """
    if sock.family != socket.AF_UNIX:
        return str(peer[0])
    pid, _, _ = struct.unpack(
        "@iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("@iII"))
    )
    return f"process {pid}"


def acknowledge(sock: socket.socket) -> None:
    """Tell a TCP peer at once that its bytes have arrived.

    A delayed acknowledgement takes up to 40 ms, and a peer that waits for ``unsent`` to become 0
    waits for it in every round.
    """
    if sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def min_rtt(sock: socket.socket) -> float:
    """Smallest round trip seen, in seconds; 0 for a UNIX socket."""
    if sock.family == socket.AF_UNIX:
        return 0.0
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    if len(info) < _TCP_MIN_RTT_AT + 4:
        return 0.0
    micros = struct.unpack_from("=I", info, _TCP_MIN_RTT_AT)[0]
    return 0.0 if micros == 0xFFFFFFFF else micros / 1e6


def heard_at(sock: socket.socket) -> float:
    """When the last bytes came, in ``time.monotonic``'s seconds; a UNIX socket: now."""
    if sock.family == socket.AF_UNIX:
        return time.monotonic()
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_LAST_DATA_AT + 4)
    return time.monotonic() - int(struct.unpack_from("=I", info, _TCP_LAST_DATA_AT)[0]) / 1e3


def segment_size(sock: socket.socket) -> int:
    """Bytes of a TCP segment on this path (TCP_MAXSEG); 0 for a UNIX socket."""
    if sock.family == socket.AF_UNIX:
        return 0
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


def set_buffers(
    sock: socket.socket, *, send: int | None = None, receive: int | None = None
) -> None:
    """Bound what the kernel holds for this socket, in bytes (the kernel doubles both)."""
    if send is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send // 2)
    if receive is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive // 2)


def finish_sending(sock: socket.socket) -> None:
    """Say that no more bytes come (FIN); what was sent is still delivered."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def cut(sock: socket.socket) -> None:
    """End both directions and wake every thread that waits on this socket."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def reset(sock: socket.socket) -> None:
    """Abort a connection so that its peer notices at once, whatever is in the window.

    For TCP this is ``connect(AF_UNSPEC)``, which sends RST: a ``shutdown`` under a full window
    left QEMU 7.2 and 10.2 ``active`` for good. Linux 6.4 and 6.5 refuse that (EBUSY) while a
    thread waits on the socket; there the RST is sent when it is closed (``SO_LINGER`` 0). A UNIX
    socket has no such window, and a shutdown is enough. Threads that wait on the socket wake up.
    """
    if sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.connect(sock.fileno(), _AF_UNSPEC_ADDRESS, len(_AF_UNSPEC_ADDRESS))
    cut(sock)


def reason(error: OSError) -> str:
    """What the kernel, or the resolver, has to say."""
    return error.strerror or str(error) or type(error).__name__
