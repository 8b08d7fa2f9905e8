"""A migration source that runs a script over real sockets, and notes how it ended."""

from __future__ import annotations

import contextlib
import socket
import threading

import raw_sockets
from fakes_wire import MAIN, Action, Close, Do, Script, Step
from ramferry.errors import RamferryError
from ramferry.transport.address import Address, UnixAddress
from ramferry.wire.return_path import ReturnPathParser, Shut

SETTLE = 10.0
"""Seconds after which a test gives up on something that should take milliseconds."""
STALL = 2.0
"""Seconds of silence after which Ramferry gives up, where a test wants to see that; on a busy
machine a fake stands still for more than 0.3 s between two of its steps."""
LONG_STALL = 4.0
"""The same, where a good migration has to have less than that between any two of its steps."""


def dial(address: Address, host: str = "") -> socket.socket:
    """:param host: by TCP, the address of this host to come from."""
    if isinstance(address, UnixAddress):
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(address.path)
        except OSError:
            sock.close()
            raise
        return sock
    return socket.create_connection((address.host, address.port), source_address=(host, 0))


def at_end(sock: socket.socket) -> bool:
    """True where the far side has ended a connection; reads what is left on it."""
    try:
        while True:
            if not sock.recv(1 << 16, socket.MSG_DONTWAIT):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True


class FakeSource:
    """Runs a script against an address, as QEMU's source would, and notes how it ended."""

    def __init__(self, address: Address, script: Script, host: str = "") -> None:
        """:param host: see ``dial``."""
        self.address = address
        self.host = host
        self.script = script
        self.socks: dict[int, socket.socket] = {}
        self.shut: int | None = None
        self.answer = bytearray()
        """All bytes of the return path."""
        self.done = threading.Event()
        """All steps were taken, or a connection broke."""
        self.ended = threading.Event()
        """The return path has ended."""
        self._reader: threading.Thread | None = None
        self._thread = threading.Thread(target=self._run, name="fake source")
        self._thread.start()

    @property
    def status(self) -> str:
        """What QEMU would say: ``completed`` means that its guest must not run any more."""
        return "completed" if self.shut == 0 else "failed"

    def _run(self) -> None:
        try:
            for step in self.script.steps:
                self._take(step)
        except OSError:
            pass
        finally:
            self.done.set()

    def _take(self, step: Action) -> None:
        match step:
            case Step():
                if step.where not in self.socks:
                    self._open(step.where)
                self.socks[step.where].sendall(step.data)
            case Close():
                sock = self.socks[step.where]
                if step.how == "reset":
                    raw_sockets.reset(sock)
                else:
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)
                sock.close()
            case Do():
                step.action()

    def _open(self, where: int) -> None:
        sock = self.socks[where] = dial(self.address, self.host)
        if where == MAIN:
            self._reader = threading.Thread(target=self._read, args=(sock,), name="fake rp")
            self._reader.start()

    def _read(self, sock: socket.socket) -> None:
        parser = ReturnPathParser()
        try:
            while data := sock.recv(4096):
                self.answer += data
                for event in parser.feed(data):
                    if isinstance(event, Shut):
                        self.shut = event.error
                        if not event.error:
                            self._release()
        except (OSError, RamferryError):
            pass
        finally:
            self.ended.set()

    def _release(self) -> None:
        """The guest runs elsewhere: close everything, as QEMU does."""
        for sock in list(self.socks.values()):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """The migration is cancelled: close everything."""
        self._release()

    def left(self) -> set[int]:
        """Connections that neither side has ended."""
        socks = list(self.socks.items())
        return {where for where, sock in socks if sock.fileno() >= 0 and not at_end(sock)}

    def close(self) -> None:
        """Drop every connection, as a killed QEMU does."""
        self._release()
        for thread in (self._thread, self._reader):
            if thread is not None:
                thread.join(SETTLE)
                assert not thread.is_alive(), f"{thread.name} hangs"
        for sock in self.socks.values():
            sock.close()
