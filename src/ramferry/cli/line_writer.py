"""Lines for a terminal, pipe or file that may not be read, without ever waiting for its reader.

A relay's loop judges stalls, ends migrations and heeds signals; a reader that stopped must not stop
it. So lines are written by a thread of their own, straight to the descriptor: a stream of Python's
would be flushed at the end of the process, and block there.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from ramferry.patience import Patience
from ramferry.standard import shown

MOST_LINES: Final = 1000
"""Most lines that are kept for a reader who does not read; after that the oldest is dropped."""
_LOOK: Final = 0.1


class LineWriter:
    """Writes lines in the order in which they were said."""

    def __init__(
        self,
        fd: int,
        failed: Callable[[OSError], None] = lambda _: None,
        lost: Callable[[int], str] = lambda _: "",
        instead: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        :param fd: where to; the caller's, and open as long as the process.
        :param failed: told, in the writer's thread, why nothing more can be written.
        :param lost: the line that says how many lines nobody read in time.
        :param instead: given, in any thread, each text that cannot be written any more.
        """
        self._fd = fd
        self._failed = failed
        self._lost_line = lost
        self._instead = instead
        self._broken = False
        self._lines: deque[tuple[str, bool]] = deque()
        self._lost = 0
        self._writing = False
        self._ended = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def say(self, line: str, *, passing: bool = False) -> None:
        """Queue a line for writing, without what acts on a terminal.

        :param passing: drop this line if it is still waiting when the next such line is queued.
        """
        self.put(f"{shown(line)}\n", passing=passing)

    def put(self, text: str, *, passing: bool = False) -> None:
        """Like ``say``, but without adding the end of the line."""
        with self._changed:
            broken = self._broken
            if not self._ended:
                self._queue(text, passing=passing)
        if broken:
            self._instead(text)

    def _queue(self, text: str, *, passing: bool) -> None:
        if passing and self._lines and self._lines[-1][1]:
            self._lines.pop()
        self._lines.append((text, passing))
        if len(self._lines) > MOST_LINES:
            self._lines.popleft()
            self._lost += 1
        self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="line writer", daemon=True)
            self._thread.start()

    def close(self, patience: Patience) -> None:
        """Wait until everything is written, but no longer than ``patience`` allows."""
        with self._changed:
            while (self._lines or self._writing) and not self._ended and not patience.over:
                self._changed.wait(min(_LOOK, patience.left))
            self._ended = True
            self._changed.notify_all()

    def _run(self) -> None:
        while (line := self._next()) is not None:
            try:
                self._write(line)
            except OSError as error:
                self._give_up(error, line)
                return
            finally:
                with self._changed:
                    self._writing = False
                    self._changed.notify_all()

    def _next(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._ended)
            if self._ended:
                return None
            self._writing = True
            if self._lost:
                lost, self._lost = self._lost, 0
                if text := self._lost_line(lost):
                    return f"{text}\n"
            line, _ = self._lines.popleft()
            return line

    def _write(self, line: str) -> None:
        """Write a line, in the writer's thread.

        :raise OSError: it cannot be written, nor can any other.
        """
        rest = memoryview(line.encode("utf-8", "backslashreplace"))
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # whoever shares the descriptor made it so
                select.select([], [self._fd], [])

    def _give_up(self, error: OSError, line: str) -> None:
        with self._changed:
            self._ended = self._broken = True
            rest = [text for text, _ in self._lines]
            self._lines.clear()
        self._failed(error)
        for text in (line, *rest):
            self._instead(text)
