"""Standard error as a screen for notes and progress, which nothing under way waits for.

A loop that draws also heeds signals, judges time limits and lets a QEMU in its switchover go on: a
terminal that was stopped (Ctrl-S), a pipe that nobody reads, or one whose reader went away must not
stop or end it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final, cast

from rich.console import Console

from ramferry.cli.line_writer import LineWriter
from ramferry.patience import Patience

_LAST_WORDS: Final = 2.0
"""Seconds to wait, at the end, for the reader to take what was written."""


class _Stream(io.TextIOBase):
    """What the console writes to: a writer, for a stream that has a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.writer = LineWriter(fd)

    def write(self, text: str) -> int:
        self.writer.put(text)
        return len(text)

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def fileno(self) -> int:
        return self._fd


@contextmanager
def screen() -> Iterator[Console]:
    """A console for as long as the block runs. At the block's end what is left is written."""
    try:
        stream = _Stream(sys.stderr.fileno())
    except io.UnsupportedOperation:  # somebody caught what is said, in memory
        yield Console(stderr=True, highlight=False)
        return
    try:
        yield Console(file=cast("IO[str]", stream), highlight=False)
    finally:
        stream.writer.close(Patience(_LAST_WORDS))
