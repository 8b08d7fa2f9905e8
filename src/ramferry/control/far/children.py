"""The processes that a far half started: what they print goes to the near half, and they end with
it."""

from __future__ import annotations

import math
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Final

from ramferry.control.far.outgoing import Outgoing
from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts.started import ramferry_line, start_line
from ramferry.errors import UsageError
from ramferry.patience import Patience
from ramferry.vocabulary import DECIDE_SECONDS

COMMANDS: Final = frozenset({"relay", "doctor", "plan"})
"""What may be started."""
MORE_SECONDS: Final = 30.0
"""After the near half has gone, a relay in its switchover may wait for the destination's answer,
which nobody else can give, and for the source's relay to ask for it: for as long as its own
``--decide`` says, and this much more."""
_LOOK: Final = 0.05


class Children:
    """The running ones, by the number of the stream to which they print."""

    def __init__(self, out: Outgoing) -> None:
        """:param out: where their words go."""
        self._out = out
        self._running: dict[int, subprocess.Popen[str]] = {}
        self._decide = DECIDE_SECONDS
        """The longest ``--decide`` of them."""

    def start(self, wish: far.Start) -> int:
        """Start one; return its process id.

        :raise UsageError: that command is not for this.
        :raise HostError: it cannot be started.
        """
        if not wish.arguments or wish.arguments[0] not in COMMANDS:
            raise UsageError(f"`ramferry far` starts {', '.join(sorted(COMMANDS))} only")
        process = start_line(ramferry_line(wish.arguments), wish.secret)
        self._running[wish.out] = process
        self._decide = max(self._decide, decide_of(wish.arguments))
        assert process.stdout is not None
        assert process.stderr is not None
        words = self._reader(process.stderr, wish.err)
        threading.Thread(
            target=self._follow, args=(process, process.stdout, wish.out, words), daemon=True
        ).start()
        return process.pid

    def signal(self, wish: far.End) -> None:
        """Send one a signal; do nothing if it has ended."""
        process = self._running.get(wish.out)
        if process is not None:
            process.kill() if wish.kill else process.terminate()

    def end(self) -> None:
        """End all of them, because the near half has gone: SIGHUP says that. A relay in its
        switchover heeds it when the destination has answered, and the relay at the source knows
        that, or has not asked for as long as it may."""
        running = list(self._running.values())
        for process in running:
            process.send_signal(signal.SIGHUP)
        patience = Patience(self._decide + MORE_SECONDS)
        for process in running:
            while process.poll() is None and not patience.over:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK)
            process.kill()
            process.wait()

    def _follow(
        self, process: subprocess.Popen[str], out: IO[str], number: int, words: threading.Thread
    ) -> None:
        self._carry(out, number)
        code = process.wait()
        words.join()
        self._running.pop(number, None)
        self._out.say(far.Over(number, code))

    def _reader(self, stream: IO[str], number: int) -> threading.Thread:
        def run() -> None:
            self._carry(stream, number)
            self._out.say(far.Over(number))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _carry(self, stream: IO[str], number: int) -> None:
        with stream:
            while text := stream.readline(far.PIECE_BYTES):
                self._out.say(far.Piece(number, text.encode()))


def decide_of(arguments: Sequence[str]) -> float:
    """The seconds that the ``--decide`` of a command line says; 0 if it says none, or nothing that
    a relay would take."""
    with suppress(ValueError, IndexError):
        seconds = float(arguments[arguments.index("--decide") + 1])
        return seconds if math.isfinite(seconds) else 0.0
    return 0.0
