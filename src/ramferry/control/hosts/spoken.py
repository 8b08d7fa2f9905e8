"""What a process that a host started says, until a line of it tells what was waited for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import Final

from ramferry.control.hosts.started import Lines, Started
from ramferry.errors import HostError, PeerTimeout
from ramferry.patience import Patience

LISTEN_SECONDS: Final = 20.0
"""How long a command of ``ramferry`` may take to listen: 0.2 s on a 2-core EPYC guest; a host that
swaps takes longer."""
_KEPT: Final = 20
_LOOK: Final = 0.05
_JOIN_SECONDS: Final = 2.0


class Spoken:
    """Reads both of its streams, so that it never waits for this process."""

    def __init__(self, process: Started, what: str, tells: Callable[[str], str]) -> None:
        """
        :param what: what the process is called in errors.
        :param tells: what a line tells; an empty string if nothing.
        """
        self._process, self._what, self._tells = process, what, tells
        self._found = ""
        self._words: deque[str] = deque(maxlen=_KEPT)
        self._threads = [
            threading.Thread(target=self._read, args=(lines, kept), daemon=True)
            for lines, kept in ((process.stdout, False), (process.stderr, True))
        ]
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float = LISTEN_SECONDS) -> str:
        """Wait for the first thing that a line tells.

        :raise HostError: it ended instead; the sentence has its last words.
        :raise PeerTimeout: no line told anything in time.
        """
        patience = Patience(seconds)
        while not self._found:
            if self._process.poll() is not None:
                self.join()
                if not self._found:
                    raise HostError(f"{self._what}: {self.last()}")
            if patience.over:
                raise PeerTimeout(f"{self._what} did not listen within {seconds:g} s")
            threading.Event().wait(_LOOK)
        return self._found

    def join(self) -> None:
        """Wait until everything is read, after it has ended."""
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)

    def last(self) -> str:
        """The last sentence that it said to people, without its own name."""
        if not self._words:
            return "it does not say why"
        return self._words[-1].split(": ", 1)[-1].rstrip(".")

    def _read(self, lines: Lines | None, kept: bool) -> None:
        if lines is None:
            return
        with closing(lines):
            for line in lines:
                self._found = self._found or self._tells(line)
                if kept and line.strip():
                    self._words.append(line.strip())
