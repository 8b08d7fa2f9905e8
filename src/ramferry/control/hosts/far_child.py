"""A process that the far half started, as ``Started`` has it."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts.far_link import FarLink
from ramferry.errors import RamferryError
from ramferry.patience import Patience

_LOOK: Final = 0.25
_MOST_OF_A_LINE: Final = 1 << 20
"""Longest line that is kept whole: 255 channels' counters take 40 KB."""


class FarLines:
    """The lines of one of its streams."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._rest = b""

    def take(self, data: bytes | None) -> None:
        """Take in a piece of the stream; None at its end."""
        *lines, self._rest = (self._rest + (data or b"")).split(b"\n")
        for line in lines:
            self._lines.put(line.decode(errors="backslashreplace") + "\n")
        if data is None or len(self._rest) > _MOST_OF_A_LINE:
            if self._rest:
                self._lines.put(self._rest.decode(errors="backslashreplace"))
            self._rest = b""
        if data is None:
            self._lines.put(None)

    def __iter__(self) -> Iterator[str]:
        """Wait for one line after the other."""
        while (line := self._lines.get()) is not None:
            yield line

    def close(self) -> None:
        """Nothing is to be freed."""


class FarChild:
    """A running ``ramferry`` on the far host; see ``Started``."""

    def __init__(self, link: FarLink, arguments: tuple[str, ...], secret: bytes) -> None:
        """Start it.

        :raise RamferryError: it cannot be started, or the connection has ended.
        """
        self._link = link
        self.stdout, self.stderr = FarLines(), FarLines()
        self._code: int | None = None
        self._ended = threading.Event()
        self._out = link.stream(self._take)
        err = link.stream(lambda data, _: self.stderr.take(data))
        self.pid = int(link.ask(far.Start(self._out, err, arguments, secret)))

    def poll(self) -> int | None:
        """See ``Started``."""
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """See ``Started``."""
        patience = None if timeout is None else Patience(timeout)
        while not self._ended.wait(_LOOK if patience is None else min(_LOOK, patience.left)):
            if patience is not None and patience.over:
                raise subprocess.TimeoutExpired("ramferry", patience.seconds)
        assert self._code is not None
        return self._code

    def terminate(self) -> None:
        """See ``Started``."""
        self._signal(kill=False)

    def kill(self) -> None:
        """See ``Started``."""
        self._signal(kill=True)

    def _signal(self, *, kill: bool) -> None:
        # if it cannot be told, the far half has ended it, or ends it
        with suppress(RamferryError):
            self._link.ask(far.End(self._out, kill))

    def _take(self, data: bytes | None, code: int) -> None:
        self.stdout.take(data)
        if data is None and self._link.lost.is_set():
            self.stderr.take(f"{self._link.gone()}\n".encode())
        if data is None:
            self._code = code
            self._ended.set()
