"""Ctrl-C, SIGTERM and SIGHUP set an event, which a loop looks at, so that everything ends in
order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ramferry import interruption


class Wish(threading.Event):
    """An event that a signal's handler sets; it is looked at, and never waited for.

    ``Event.set`` takes a lock, which is not reentrant: a second signal within it would wait for
    itself for ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self._there = False

    def is_set(self) -> bool:
        """Whether the signal has come."""
        return self._there

    def set(self) -> None:
        """Note that it has."""
        self._there = True

    def wait(self, timeout: float | None = None) -> bool:
        """Nothing would wake up whoever waits; see ``interruption.pause``."""
        raise NotImplementedError


@contextmanager
def stop_on_signals(stop: Wish, insist: Wish | None = None) -> Iterator[None]:
    """Set ``stop`` on a signal for as long as the block runs, and ``insist`` on a second one.

    A signal after the block comes too late: the work has ended.
    """
    heard = 0

    def heed(*_: object) -> None:
        nonlocal heard
        heard += 1  # before any call, since the next signal's handler may come with each
        stop.set()
        if insist is not None and heard > 1:
            insist.set()

    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    interruption.handle(heed)
    try:
        yield
    finally:
        if before[signal.SIGINT] is signal.default_int_handler:
            # not as a command: the caller goes on, and signals are its own
            for number, handler in before.items():
                signal.signal(number, handler)
        else:
            interruption.too_late()
