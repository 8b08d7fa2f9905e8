"""A process that a host started for us: what it prints, whether it runs, its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from ramferry.errors import HostError
from ramferry.transport import tempfolder


class Lines(Protocol):
    """Lines of text with their ends, as they come, until the process has ended."""

    def __iter__(self) -> Iterator[str]:
        """One line after the other."""

    def close(self) -> None:
        """Free them."""


class Started(Protocol):
    """What ``subprocess.Popen`` can do, as far as it is needed of a process on any host."""

    @property
    def pid(self) -> int:
        """Its process id on its host."""

    @property
    def stdout(self) -> Lines | None:
        """What it prints."""

    @property
    def stderr(self) -> Lines | None:
        """What it says to people."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        :raise subprocess.TimeoutExpired: it runs longer than ``timeout`` seconds.
        """

    def terminate(self) -> None:
        """Send it SIGTERM."""

    def kill(self) -> None:
        """Send it SIGKILL."""


def ramferry_line(arguments: Sequence[str]) -> list[str]:
    """The command line of ``ramferry`` with these arguments: the one that runs."""
    return [sys.executable, "-m", "ramferry", *arguments]


def start_line(line: Sequence[str], secret: bytes) -> subprocess.Popen[str]:
    """Start a command.

    :param secret: text that it reads from its standard input; empty: it reads nothing.
    :raise HostError: it cannot be started.
    """
    try:
        process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE if secret else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",  # a byte that is no text ends no reader
            # Ctrl-C is for the orchestrator, which ends the migration before its relays. No session
            # of its own: Linux shares CPUs by session before it shares them by thread (autogroup),
            # and on two cores QEMU 7.2's migration thread, which spins on busy channels, then took
            # 0.6 of a core from two relays: 4.4 s instead of 3.2 s for 1 GiB with qatzip.
            process_group=0,
            # a relay in its switchover outlives who started it, and is asked at a socket there
            pass_fds=tempfolder.held(),
        )
    except OSError as error:
        raise HostError(f"cannot start {line[0]}: {error.strerror}") from error
    if process.stdin is not None:
        # one that ends first says why; what it did not read is nothing to us
        with suppress(OSError), process.stdin:
            process.stdin.write(secret.decode())
    return process
