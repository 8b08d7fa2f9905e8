"""Ctrl-C, SIGTERM and SIGHUP set an event, which a loop looks at, so that everything ends in
order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ramferry import interruption


@contextmanager
def stop_on_signals(stop: threading.Event, insist: threading.Event | None = None) -> Iterator[None]:
    """Set ``stop`` on a signal for as long as the block runs, and ``insist`` on a second one.

    A signal after the block comes too late: the work has ended.
    """

    def heed(*_: object) -> None:
        if insist is not None and stop.is_set():
            insist.set()
        stop.set()

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
