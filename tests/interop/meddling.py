"""A proxy between two stations of a migration that damages or cuts one multifd channel."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from typing import Literal

from ramferry.transport import sockets
from ramferry.transport.address import Address
from ramferry.transport.listening import Listener
from ramferry.wire.packets import INITIAL_SIZE

Fault = Literal["damage", "cut", "reset"]
CHANNEL_ID_AT = 24


class Meddler:
    """Passes every connection on; on one channel, after some bytes, the fault happens once.

    Damage goes on to the channel's end: QEMU's zstd frames have no checksum, so that what hits
    nothing but their literals cannot be seen; a header, which comes sooner or later, can.
    """

    def __init__(self, listen: Address, target: Address, fault: Fault, channel: int, at: int):
        """:param at: bytes of the channel that pass before the fault."""
        self.struck = threading.Event()
        self.struck_at = 0.0
        """``time.monotonic()`` of the fault."""
        self._target = target
        self._fault = fault
        self._channel = channel
        self._at = at
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        listener = Listener(listen)
        self._listener = listener.first
        self._listener.setblocking(True)
        self.address = listener.address
        self._start(self._accept)

    def close(self) -> None:
        """End every connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for sock in self._socks:
            sockets.cut(sock)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        for sock in [self._listener, *self._socks]:
            sock.close()

    def _start(self, run, *arguments) -> None:  # type: ignore[no-untyped-def]
        thread = threading.Thread(target=run, args=arguments, name="meddler", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = sockets.connect(self._target)
            far.settimeout(None)
            self._socks += [near, far]
            self._start(self._pass_on, near, far)
            self._start(self._pump, far, near, False)

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        first = near.recv(INITIAL_SIZE, socket.MSG_WAITALL | socket.MSG_PEEK)
        multifd = first.startswith(b"\x11\x22\x33\x44") and len(first) == INITIAL_SIZE
        self._pump(near, far, multifd and first[CHANNEL_ID_AT] == self._channel)

    def _pump(self, near: socket.socket, far: socket.socket, victim: bool) -> None:
        passed = 0
        try:
            while data := near.recv(65536):
                passed += len(data)
                if victim and passed > self._at:
                    data = self._strike(data, near, far)
                far.sendall(data)
            with contextlib.suppress(OSError):
                far.shutdown(socket.SHUT_WR)
        except OSError:
            # what broke on one side breaks on the other
            sockets.reset(near)
            sockets.reset(far)

    def _strike(self, data: bytes, near: socket.socket, far: socket.socket) -> bytes:
        if not self.struck.is_set():
            self.struck_at = time.monotonic()
            self.struck.set()
        if self._fault == "damage":
            return random.Random(1).randbytes(len(data))
        end = sockets.cut if self._fault == "cut" else sockets.reset
        end(near)
        end(far)
        raise ConnectionAbortedError
