"""The monitors that a far half opened: their bytes go to the near half and come from it."""

from __future__ import annotations

import select
import threading
from contextlib import suppress
from typing import Any, Final

from ramferry.control.far.outgoing import Outgoing
from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts.cpu import CpuMeter, process_of
from ramferry.transport import sockets
from ramferry.transport.monitor_socket import MonitorSocket

_SEND_SECONDS: Final = 5.0
"""How long a QEMU may take to receive a command."""


class Monitors:
    """The open ones, by the number of their stream."""

    def __init__(self, out: Outgoing) -> None:
        """:param out: where their words go."""
        self._out = out
        self._open: dict[int, MonitorSocket] = {}

    def open(self, wish: far.OpenMonitor) -> int | None:
        """Connect to one; return the process at its far end.

        :raise OSError: nobody listens there, or the queue stays full.
        """
        monitor = MonitorSocket(wish.path, wish.seconds)
        pid = monitor.peer_pid  # before the thread that closes it at its end
        self._open[wish.stream] = monitor
        threading.Thread(target=self._carry, args=(monitor, wish.stream), daemon=True).start()
        return pid

    def take(self, message: far.Piece | far.Over) -> None:
        """Pass a piece on to its monitor, or end the connection to it."""
        monitor = self._open.get(message.stream)
        if monitor is None:
            return
        if isinstance(message, far.Over):
            sockets.cut(monitor.raw)
            return
        with suppress(OSError, ValueError):
            # a monitor that takes no command is one that does not answer; it may have ended, and
            # been closed by its thread, at this moment
            _send_all(monitor.raw, message.data)

    def end(self) -> None:
        """End all of them."""
        for monitor in list(self._open.values()):
            sockets.cut(monitor.raw)

    def _carry(self, monitor: MonitorSocket, stream: int) -> None:
        with suppress(OSError):
            while data := _receive(monitor.raw):
                self._out.say(far.Piece(stream, data))
        self._open.pop(stream, None)
        monitor.close()
        self._out.say(far.Over(stream))


def locate(wish: far.Locate) -> int | None:
    """The process that the threads of a QEMU's vCPUs belong to; None if it is none of this
    host's."""
    return process_of(None, wish.peer_pid, wish.threads)


def cpu_seconds(wish: far.Cpu) -> float | None:
    """See ``CpuMeter.seconds``."""
    return CpuMeter(wish.pid, wish.threads).seconds()


def _receive(sock: Any) -> bytes:
    select.select([sock], [], [])
    data: bytes = sock.recv(far.PIECE_BYTES)
    return data


def _send_all(sock: Any, data: bytes) -> None:
    view = memoryview(data)
    while view and select.select([], [sock], [], _SEND_SECONDS)[1]:
        view = view[sock.send(view) :]
