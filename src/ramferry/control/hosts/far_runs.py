"""Commands of ``ramferry`` that run to their end on a host, and what they said."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from ramferry.control.hosts.contract import Host
from ramferry.control.hosts.started import Lines
from ramferry.errors import Cancelled

_LOOK: Final = 0.1
_END_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    exit_code: int
    output: str
    """Its standard output."""
    words: str
    """Its standard error."""


def run(host: Host, arguments: Sequence[str], stop: threading.Event) -> Ended:
    """Run a command to its end.

    :raise Cancelled: ``stop`` was set; it has been ended.
    :raise HostError: it cannot be started.
    """
    process = host.start(arguments)
    output, words = _Text(process.stdout), _Text(process.stderr)
    while True:
        try:
            code = process.wait(_LOOK)
        except subprocess.TimeoutExpired:
            if stop.is_set():
                process.terminate()
                raise Cancelled(f"interrupted; {arguments[0]} was ended there") from None
        else:
            return Ended(code, output.all(), words.all())


class _Text:
    """Reads lines in a thread of its own."""

    def __init__(self, lines: Lines | None) -> None:
        self._found: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._thread.start()

    def all(self) -> str:
        """What was read; after the process has ended."""
        self._thread.join(_END_SECONDS)
        return "".join(self._found)

    def _read(self, lines: Lines | None) -> None:
        if lines is not None:
            with closing(lines):
                self._found.extend(lines)
