"""Sockets: listen, connect, exact transfers, what is unsent, and how to end a connection."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import stat
import struct
import termios
from collections.abc import Iterator
from typing import Final

from ramferry.errors import HostError, PeerTimeout, PeerUnreachable
from ramferry.transport.address import Address, TcpAddress, UnixAddress

Buffer = bytes | bytearray | memoryview

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for a connection to be accepted."""
_AF_UNSPEC_ADDRESS: Final = struct.pack("=H14x", socket.AF_UNSPEC)
_LINGER_0: Final = struct.pack("@ii", 1, 0)
_MOST_PARTS: Final = os.sysconf("SC_IOV_MAX")
_LISTENING: Final = "00010000"
"""The flags of a listening socket in /proc/net/unix."""
_TCP_MIN_RTT_AT: Final = 148
"""Offset of ``tcpi_min_rtt`` in ``struct tcp_info`` (linux/tcp.h)."""


def listen(address: Address, backlog: int = 256) -> socket.socket:
    """A listening, non-blocking socket.

    A stale UNIX socket (nobody listens on it) is replaced; a live one, or a file that is not a
    socket, is left alone.

    :raise HostError: the address is in use or not ours to take.
    """
    try:
        if isinstance(address, UnixAddress):
            _remove_stale(address.path)
            listener = socket.socket(socket.AF_UNIX)
            target: str | tuple[str, int] = address.path
        else:
            listener, target = _tcp_listener(address)
        with _closing_on_error(listener):
            listener.bind(target)
            listener.listen(backlog)
            listener.setblocking(False)
    except OSError as error:
        raise HostError(f"cannot listen on {address}: {_reason(error)}") from error
    return listener


def _tcp_listener(address: TcpAddress) -> tuple[socket.socket, tuple[str, int]]:
    host = address.host or "0.0.0.0"
    family, _, _, _, place = socket.getaddrinfo(
        host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener, (str(place[0]), int(place[1]))


def check_free(address: Address) -> None:
    """See that a process which listens at ``address``, an absolute path, takes nothing away.

    :raise HostError: there is a file that is not a socket, or somebody listens.
    """
    if not isinstance(address, UnixAddress) or not os.path.isabs(address.path):
        return
    try:
        _is_stale(address.path)
    except PermissionError:
        return  # not ours to look at: perhaps the other process may
    except OSError as error:
        raise HostError(f"cannot listen on {address}: {_reason(error)}") from error


def _remove_stale(path: str) -> None:
    if _is_stale(path):
        os.unlink(path)


def _is_stale(path: str) -> bool:
    """True for a socket on which nobody listens, false where there is nothing; else an OSError."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "the path exists and is not a socket")
    # ask the kernel first: a connection that closes at once ends a QEMU that waits for its guest
    if not _listed_as_listening(path):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                return True
    raise OSError(errno.EADDRINUSE, "another process listens there")


def _listed_as_listening(path: str) -> bool:
    """True where a process of this network namespace listens at ``path``, by an absolute name."""
    with contextlib.suppress(OSError), open("/proc/net/unix", errors="surrogateescape") as table:
        for line in table:
            fields = line.rstrip("\n").split(" ", 7)
            if len(fields) == 8 and fields[3] == _LISTENING and fields[7].startswith("/"):
                with contextlib.suppress(OSError):
                    if os.path.samefile(fields[7], path):
                        return True
    return False


@contextlib.contextmanager
def _closing_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise


def end_listening(listener: socket.socket, address: Address) -> None:
    """Close a listener, and remove the UNIX socket that it had at ``address``."""
    listener.close()
    if isinstance(address, UnixAddress):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address.path)


def local_address(listener: socket.socket) -> Address:
    """Where a listener listens, with the port that it was given."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return UnixAddress(name)
    return TcpAddress(name[0], name[1])


def connect(address: Address, *, timeout: float = CONNECT_TIMEOUT) -> socket.socket:
    """A connected, blocking socket.

    :raise PeerUnreachable: nobody accepts there.
    """
    try:
        if isinstance(address, TcpAddress):
            return socket.create_connection((address.host or "127.0.0.1", address.port), timeout)
        sock = socket.socket(socket.AF_UNIX)
        with _closing_on_error(sock):
            sock.settimeout(timeout)
            sock.connect(address.path)
        return sock
    except OSError as error:
        raise PeerUnreachable(f"nobody accepts at {address}: {_reason(error)}") from error


def tune(sock: socket.socket, stall_timeout: float, *, piece: float | None = None) -> None:
    """Make a connection blocking, prompt, and aware of a peer that went silent.

    A receive or send that moves nothing for ``stall_timeout`` seconds comes back instead of
    blocking for ever (``SO_RCVTIMEO``, ``SO_SNDTIMEO``): kernel timers cost no system call of
    their own, which Python's socket timeouts do.

    :param piece: a receive comes back so soon, with what there is; None: as a send.
    """
    sock.settimeout(None)
    receive = stall_timeout if piece is None else piece
    for option, seconds in ((socket.SO_RCVTIMEO, receive), (socket.SO_SNDTIMEO, stall_timeout)):
        limit = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, option, limit)
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


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
