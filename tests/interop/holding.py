"""A proxy before a destination that holds main back at the switchover, on its way there or back."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal

from ramferry.transport import sockets
from ramferry.transport.address import Address
from ramferry.transport.listening import Listener
from ramferry.wire.events import RamEnd
from ramferry.wire.main import MainParser

Way = Literal["tail", "answer"]
"""What is held: the rest of the stream from ram's END on, or what the destination answers then."""


class Holder:
    """Passes every connection on, and main up to ram's END; from there on only when released.

    What is held was read from its sender, who knows nothing of it: it is delivered whole later,
    also where the sender has closed the connection meanwhile.
    """

    def __init__(self, listen: Address, target: Address, way: Way) -> None:
        self.holding = threading.Event()
        """Set at ram's END."""
        self._released = threading.Event()
        self._lost = False
        self._way = way
        self._target = target
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        listener = Listener(listen)
        self._listener = listener.first
        self._listener.setblocking(True)
        self.address = listener.address
        self._start(self._accept)

    def release(self) -> None:
        """Deliver what was held."""
        self._released.set()

    def lose(self) -> None:
        """Drop what was held, and end main on both sides."""
        self._lost = True
        self._released.set()

    def close(self) -> None:
        """End every connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self.lose()
        for sock in self._socks:
            sockets.cut(sock)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        for sock in [self._listener, *self._socks]:
            sock.close()

    def _start(self, run, *arguments) -> None:  # type: ignore[no-untyped-def]
        thread = threading.Thread(target=run, args=arguments, name="holder", daemon=True)
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
            self._start(self._begin, near, far)

    def _begin(self, near: socket.socket, far: socket.socket) -> None:
        main = near.recv(4, socket.MSG_WAITALL | socket.MSG_PEEK) == b"QEVM"
        self._start(self._pump, far, near, main and self._way == "answer")
        if main:
            self._main(near, far)
        else:
            self._pump(near, far, held=False)

    def _main(self, near: socket.socket, far: socket.socket) -> None:
        parser = MainParser()
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if any(isinstance(event, RamEnd) for event in parser.feed(data)):
                    self.holding.set()
                    if self._way == "tail":
                        self._hold(data, near, far)
                        return
                far.sendall(data)
        sockets.finish_sending(far)

    def _hold(self, data: bytes, near: socket.socket, far: socket.socket) -> None:
        """Read what comes to its end, and deliver all of it when released."""
        held = bytearray(data)

        def read_on() -> None:
            with contextlib.suppress(OSError):
                while more := near.recv(65536):
                    held.extend(more)

        reader = threading.Thread(target=read_on, name="holder reads", daemon=True)
        reader.start()
        self._released.wait()
        if self._lost:
            sockets.cut(near)
            sockets.cut(far)
        else:
            far.sendall(bytes(held))
        reader.join()
        sockets.finish_sending(far)

    def _pump(self, near: socket.socket, far: socket.socket, held: bool) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if held and self.holding.is_set():
                    self._released.wait()
                    if self._lost:
                        break
                far.sendall(data)
        if held and self.holding.is_set():
            # the end, too, is an answer
            self._released.wait()
            if self._lost:
                sockets.cut(far)
        sockets.finish_sending(far)
