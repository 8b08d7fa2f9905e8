"""Connections by the kernel's sockets: TCP and UNIX, unencrypted."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import termios
import time
from typing import Any, Final

from ramferry.errors import HostError, PeerTimeout, PeerUnreachable, kernel_error
from ramferry.transport import sockets
from ramferry.transport.address import Address, TcpAddress, place_of
from ramferry.vocabulary import Buffer

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for a connection to be accepted."""
OUT_OF_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE}
"""Errors if this process, or the host, has no descriptor left."""
_AF_UNSPEC_ADDRESS: Final = struct.pack("=H14x", socket.AF_UNSPEC)
_LINGER_0: Final = struct.pack("@ii", 1, 0)
_MOST_PARTS: Final = os.sysconf("SC_IOV_MAX")
_TCP_LAST_DATA_AT: Final = 52
"""Offset of ``tcpi_last_data_recv``, in milliseconds."""
_TCP_MIN_RTT_AT: Final = 148
"""Offset of ``tcpi_min_rtt`` in ``struct tcp_info`` (linux/tcp.h)."""
_GONE: Final = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Plain:
    """A connected socket as a :class:`~ramferry.transport.connection.Connection`, which it owns."""

    __slots__ = ("_sock", "windowed")

    def __init__(self, sock: socket.socket) -> None:
        """:param sock: connected; from now on this object owns it and closes it."""
        self._sock = sock
        self.windowed = sock.family != socket.AF_UNIX

    def detach(self) -> socket.socket:
        """Give the socket away; nothing may be called after that."""
        return self._sock

    def fileno(self) -> int:
        """See ``Connection``."""
        return self._sock.fileno()

    def settle(self, stall_timeout: float, *, piece: float | None = None) -> None:
        """See ``Connection``.

        The limits are the kernel's (``SO_RCVTIMEO``, ``SO_SNDTIMEO``), which cost no system call
        of their own, as Python's socket timeouts do.
        """
        sock = self._sock
        sock.settimeout(None)
        sockets.limit(sock, socket.SO_RCVTIMEO, stall_timeout if piece is None else piece)
        sockets.limit(sock, socket.SO_SNDTIMEO, stall_timeout)
        if self.windowed:
            keep_prompt(sock)

    # --- bytes in

    def receive(self, view: memoryview, least: int | None = None, *, idle: bool = False) -> int:
        """See ``Connection``."""
        if least is None:
            least = len(view)
        flags = socket.MSG_WAITALL if least == len(view) else 0
        filled = 0
        while filled < least:
            try:
                count = self._sock.recv_into(view[filled:], 0, flags)
            except BlockingIOError:
                if idle and not filled:
                    continue
                raise PeerTimeout(f"the peer went silent after {filled} of {least} bytes") from None
            if not count:
                break
            filled += count
        return filled

    def receive_some(self, view: memoryview, *, whole: bool = False) -> int | None:
        """See ``Connection``."""
        try:
            return self._sock.recv_into(view, 0, socket.MSG_WAITALL if whole else 0)
        except BlockingIOError:
            return None

    def unread(self) -> int:
        """See ``Connection``."""
        return self._queued(termios.FIONREAD)

    def heard_at(self) -> float:
        """See ``Connection``."""
        if not self.windowed:
            return time.monotonic()
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_LAST_DATA_AT + 4)
        return time.monotonic() - int(struct.unpack_from("=I", info, _TCP_LAST_DATA_AT)[0]) / 1e3

    def acknowledge(self) -> None:
        """See ``Connection``.

        A delayed acknowledgement takes up to 40 ms, and a peer that waits for ``unsent`` to become
        0 waits for it in every round.
        """
        if self.windowed:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    # --- bytes out

    def send(self, parts: list[Buffer]) -> int:
        """See ``Connection``."""
        total = sum(map(len, parts))
        missing = total
        while True:
            try:
                sent = self._sock.sendmsg(parts[:_MOST_PARTS])
            except BlockingIOError:
                raise PeerTimeout("the peer takes no more bytes") from None
            missing -= sent
            if not missing:
                return total
            parts = after(parts, sent)

    def send_some(self, data: Buffer) -> int:
        """See ``Connection``."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def unsent(self) -> int:
        """See ``Connection``."""
        return self._queued(termios.TIOCOUTQ)

    # --- size and time

    def set_buffers(self, *, send: int | None = None, receive: int | None = None) -> None:
        """See ``Connection``; the kernel doubles both figures."""
        if send is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send // 2)
        if receive is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive // 2)

    def round_trip(self) -> float:
        """See ``Connection``."""
        if not self.windowed:
            return 0.0
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        if len(info) < _TCP_MIN_RTT_AT + 4:
            return 0.0
        micros = struct.unpack_from("=I", info, _TCP_MIN_RTT_AT)[0]
        return 0.0 if micros == 0xFFFFFFFF else micros / 1e6

    def segment(self) -> int:
        """See ``Connection``; TCP_MAXSEG."""
        if not self.windowed:
            return 0
        return self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)

    # --- its end

    def hung_up(self) -> bool:
        """See ``Connection``."""
        poll = select.poll()
        poll.register(self._descriptor(), select.POLLRDHUP)
        return any(event & _GONE for _, event in poll.poll(0))

    def finish(self) -> None:
        """See ``Connection``; a FIN."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """See ``Connection``."""
        sockets.cut(self._sock)

    def reset(self) -> None:
        """See ``Connection``.

        For TCP this is ``connect(AF_UNSPEC)``, which sends RST: a ``shutdown`` under a full window
        left QEMU 7.2 and 10.2 ``active`` for good. Linux 6.4 and 6.5 refuse that (EBUSY) while a
        thread waits on the socket; there the RST is sent when it is closed (``SO_LINGER`` 0). A
        UNIX socket has no such window, and a shutdown is enough.
        """
        if self.windowed:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            libc = ctypes.CDLL(None, use_errno=True)
            libc.connect(self._sock.fileno(), _AF_UNSPEC_ADDRESS, len(_AF_UNSPEC_ADDRESS))
        sockets.cut(self._sock)

    def close(self) -> None:
        """See ``Connection``."""
        self._sock.close()

    def _queued(self, request: int) -> int:
        answer = fcntl.ioctl(self._descriptor(), request, b"\0" * 4)
        return int(struct.unpack("@i", answer)[0])

    def _descriptor(self) -> int:
        """The socket's, for what is asked by its number.

        :raise OSError: it was closed, perhaps by another thread.
        """
        number = self._sock.fileno()
        if number < 0:
            raise closed()
        return number


def closed() -> OSError:
    """The error of a connection that was closed here."""
    return kernel_error(errno.EBADF)


def keep_prompt(sock: socket.socket) -> None:
    """Send what there is at once over TCP, and notice a host that died within 25 seconds."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def after(parts: list[Buffer], sent: int) -> list[Buffer]:
    """``parts`` without their first ``sent`` bytes."""
    for index, part in enumerate(parts):
        if sent < len(part):
            return [memoryview(part)[sent:], *parts[index + 1 :]]
        sent -= len(part)
    return []


def inherited(number: int) -> Plain:
    """The connection behind a descriptor that another process handed over; it is owned from now
    on.

    :raise OSError: it is none.
    """
    return Plain(socket.socket(fileno=number))


# --- connecting


def connect(address: Address, *, timeout: float = CONNECT_TIMEOUT) -> Plain:
    """A connection to whoever listens at ``address``; ``settle`` it before use.

    :raise PeerUnreachable: nobody accepts there.
    :raise HostError: this process, or the host, has no descriptor left.
    """
    try:
        sock = _connected(address, timeout)
    except OSError as error:
        if error.errno in OUT_OF_DESCRIPTORS:
            raise HostError(f"cannot connect to {address}: {sockets.reason(error)}") from error
        why = "timed out" if isinstance(error, BlockingIOError) else sockets.reason(error)
        raise PeerUnreachable(f"{nobody_at(address)}: {why}") from error
    return Plain(sock)


def nobody_at(address: object) -> str:
    """The clause that nobody accepts at an address, before the reason."""
    return f"nobody accepts at {address}"


def _connected(address: Address, timeout: float) -> socket.socket:
    """Connect with the kernel's timeout (``SO_SNDTIMEO``), which starts anew after this process was
    stopped."""
    place = place_of(address)
    answers: list[tuple[int, Any]] = [(socket.AF_UNIX, getattr(place, "path", ""))]
    if isinstance(place, TcpAddress):
        host = place.host or "127.0.0.1"
        found = socket.getaddrinfo(host, place.port, type=socket.SOCK_STREAM)
        answers = [(family, place) for family, _, _, _, place in found]
    for family, place in answers[:-1]:
        with contextlib.suppress(OSError):
            return _connected_to(family, place, timeout)
    return _connected_to(*answers[-1], timeout)


def _connected_to(family: int, place: Any, timeout: float) -> socket.socket:
    sock = socket.socket(family)
    with sockets.closing_on_error(sock):
        sockets.limit(sock, socket.SO_SNDTIMEO, timeout)
        sock.connect(place)
    return sock
