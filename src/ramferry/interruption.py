"""What a signal does to a command, from its first line to its last.

Stretches follow one another. Until a command has begun what must be ended in order, SIGINT,
SIGTERM and SIGHUP raise :class:`Interrupted`, which becomes one sentence and exit code 130. While
something is under way, ``cli.interrupt`` turns them into a wish that a loop heeds (work on files
ends at once and leaves nothing half done, by gzip's codes). And once that has ended they change
nothing: how it ended is about to be told, with its own code. In the interpreter's last moments
they are ignored.

Imported before anything else, so it imports next to nothing.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import threading

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_CODE: Final = 130
"""Exit code of a command that was interrupted before it was at work."""
_LOOK: Final = 0.1
"""Seconds after which a signal is heeded at the latest: it does not end a sleep (PEP 475)."""


class Interrupted(KeyboardInterrupt):
    """A signal came while there was nothing to be ended in order; its text is the signal's name."""


def sentence(interrupt: BaseException) -> str:
    """What is printed for an interrupt, whichever signal it was."""
    name = str(interrupt)
    by = "" if name in ("", signal.SIGINT.name) else f" by {name}"
    return f"ramferry: interrupted{by}"


def pause(stop: threading.Event, seconds: float) -> bool:
    """Wait in the main thread for so many seconds, or until a signal has set ``stop``; whether it
    has.

    In place of ``Event.wait``, whose lock is not reentrant: a handler that comes between two of its
    steps waits in ``Event.set`` for the thread that it interrupts, which is its own, for ever.
    """
    end = time.monotonic() + seconds
    while not stop.is_set() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK))
    return stop.is_set()


def begin() -> None:
    """Let the signals raise from here on, except ignored ones, like SIGHUP under ``nohup``."""
    handle(_raise)


def too_late() -> None:
    """Let the signals change nothing from here on. Does nothing if ``begin`` was not called."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        handle(_note)


def ignore() -> None:
    """Have the kernel ignore the signals from here on, because Python restores their default, which
    ends the process, at its end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def handle(handler: Callable[[int, FrameType | None], None]) -> None:
    """Make ``handler`` the handler of each signal that is not ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(signal.Signals(number).name)


def _note(number: int, _frame: FrameType | None) -> None:
    text = f"ramferry: {signal.Signals(number).name} came too late: the command had ended\n"
    try:  # not by print, in the middle of which this may be
        os.write(2, text.encode())
    except OSError:
        return
