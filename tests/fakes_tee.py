"""Stands between a source and a destination and keeps what each connection carried."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self

import raw_sockets
from ramferry.transport.address import UnixAddress
from ramferry.transport.listening import Listener


class Tee:
    """One file for each connection in ``folder``; a context manager."""

    def __init__(self, folder: Path, onward: Path) -> None:
        folder.mkdir()
        self.address = UnixAddress(f"{folder}.sock")
        self._folder, self._onward = folder, UnixAddress(str(onward))
        self._listener = Listener(self.address).sockets[0]
        self._listener.setblocking(True)
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        raw_sockets.cut(self._listener)
        for sock in self._socks:
            raw_sockets.cut(sock)
        for thread in self._threads:
            thread.join(10.0)
        for sock in (*self._socks, self._listener):
            sock.close()

    def _start(self, run: object, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = raw_sockets.connected(self._onward)
            far.settimeout(None)
            self._socks += [near, far]
            self._start(self._carry, near, far, self._folder / f"{number}")
            self._start(self._carry, far, near, None)
            number += 1

    def _carry(self, here: socket.socket, there: socket.socket, kept: Path | None) -> None:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(kept.open("wb")) if kept else None
            with contextlib.suppress(OSError):
                while data := here.recv(1 << 16):
                    if file:
                        file.write(data)
                    there.sendall(data)
            raw_sockets.cut(there)
