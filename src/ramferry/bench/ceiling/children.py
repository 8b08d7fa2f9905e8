"""The processes of one run: started, watched, and ended whatever happens."""

from __future__ import annotations

import os
import select
import subprocess
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, Self

from ramferry.errors import Cancelled, HostError, PeerTimeout
from ramferry.interruption import pause
from ramferry.patience import Patience

STEP: Final = 0.05
"""Seconds between two looks at the processes."""
SECONDS: Final = 30.0
"""How long any one step of a run may take."""


class Child:
    """One process, which writes lines to standard output and sentences to standard error."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        errors: Path,
        stdin: int,
        pass_fds: Collection[int],
        cores: Collection[int],
    ) -> None:
        self.name = name
        self._errors = errors
        mine = os.sched_getaffinity(0)
        with open(errors, "wb") as stderr:
            os.sched_setaffinity(0, cores or mine)
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    pass_fds=pass_fds,
                    process_group=0,  # Ctrl-C is for the one who ends them all
                )
            except OSError as error:
                raise HostError(f"cannot start the {name}: {error.strerror}") from error
            finally:
                os.sched_setaffinity(0, mine)
        self._heard = b""

    def complaint(self) -> str:
        """How it ended badly; empty if it did not, or runs."""
        code = self.process.poll()
        if code is None or code == 0:
            return ""
        if code < 0:
            return f"the {self.name} was killed by signal {-code}"
        said = self._errors.read_text(errors="backslashreplace").strip().splitlines()
        return f"the {self.name} ended: {said[-1].rstrip('.') if said else f'exit code {code}'}"

    def ask(self, word: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{word}\n".encode())
            self.process.stdin.flush()
        except OSError as error:
            raise HostError(f"the {self.name} does not listen: {error.strerror}") from error

    def heard(self) -> str | None:
        """The next line of its standard output; None if there is none yet."""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        while b"\n" not in self._heard and select.select([fd], [], [], 0)[0]:
            if not (got := os.read(fd, 4096)):
                return None
            self._heard += got
        if b"\n" not in self._heard:
            return None
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def end(self) -> None:
        """Kill it, if it runs, and free what it had."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class Children:
    """All of them; a context manager that ends them."""

    def __init__(self, folder: Path, stop: threading.Event) -> None:
        """:param folder: where each has a file for its standard error.
        :param stop: set to end the run."""
        self._folder = folder
        self._stop = stop
        self._all: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for child in self._all:
            child.end()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        stdin: int = subprocess.PIPE,
        pass_fds: Collection[int] = (),
        cores: Collection[int] = (),
    ) -> Child:
        """Start one more.

        :param cores: where it may run; empty: where this process may.
        :raise HostError: it cannot be started.
        """
        errors = self._folder / f"{name}.stderr"
        child = Child(name, command, errors, stdin, pass_fds, cores)
        self._all.append(child)
        return child

    def check(self) -> None:
        """See that all is well.

        :raise Cancelled: the run is to stop.
        :raise HostError: a process ended badly.
        """
        if self._stop.is_set():
            raise Cancelled("interrupted in the middle of a run")
        for child in self._all:
            if complaint := child.complaint():
                raise HostError(complaint)

    def pause(
        self, seconds: float, look: Callable[[], None] | None = None, every: float = STEP
    ) -> None:
        """Wait while they work.

        :param look: called meanwhile.
        :param every: seconds between two calls of it.

        :raise RamferryError: as ``check``.
        """
        patience, next_check = Patience(seconds), 0.0
        while not patience.over:
            if patience.spent >= next_check:
                self.check()
                next_check += STEP
            if look is not None:
                look()
            pause(self._stop, min(every, patience.left))

    def wait(self, met: Callable[[], bool], what: str) -> None:
        """Wait until a condition is met.

        :raise RamferryError: as ``check``.
        :raise PeerTimeout: it is not met within ``SECONDS``.
        """
        patience = Patience(SECONDS)
        while not met():
            self.check()
            if patience.over:
                raise PeerTimeout(f"not within {SECONDS:g} s: {what}")
            pause(self._stop, STEP / 10)

    def line(self, child: Child, what: str) -> str:
        """The next line of a child.

        :raise RamferryError: as ``wait``.
        """
        lines: list[str] = []

        def come() -> bool:
            if (line := child.heard()) is not None:
                lines.append(line)
            return bool(lines)

        self.wait(come, f"{what} of the {child.name}")
        return lines[0]
