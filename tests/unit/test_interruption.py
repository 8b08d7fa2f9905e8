"""Waiting in the thread in which signals are heeded."""

from __future__ import annotations

import signal
import threading
import time

from ramferry.interruption import pause


def test_a_pause_is_as_long_as_it_should_be() -> None:
    began = time.monotonic()
    assert not pause(threading.Event(), 0.15)
    assert time.monotonic() - began >= 0.15


def test_a_signal_ends_a_pause_wherever_it_comes() -> None:
    """With ``Event.wait`` in its place, this hangs within some thousand of them."""
    stop = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda *_: stop.set())
    try:
        for nth in range(300):
            signal.setitimer(signal.ITIMER_REAL, 1e-5 + nth % 7 * 1e-5)
            assert pause(stop, 60.0)
            stop.clear()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
