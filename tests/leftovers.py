"""Proof that what a test ran leaves neither a thread nor a descriptor behind.

Sets are compared, never counts: what an earlier test left to wind down may end in between, and then
there is less than before. Nothing may be there afterwards that was not there before.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator, Set

from patiently import LONGEST_STEP, LOOK, SETTLE
from ramferry.patience import Patience


def threads() -> set[threading.Thread]:
    """The process's threads that have not ended."""
    return set(threading.enumerate())


def descriptors() -> set[str]:
    """The process's descriptors with what they point to, as a number alone may be used again."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    return found


def threads_end(before: Set[threading.Thread], seconds: float = SETTLE) -> None:
    """Wait until there is no thread but those of ``before``, or fail."""
    _until_gone(lambda: threads() - before, seconds)


def descriptors_close(before: Set[str]) -> None:
    """Wait until there is no descriptor but those of ``before``, or fail."""
    if not descriptors() <= before:
        gc.collect()  # what only a cycle of dropped objects holds, perhaps an earlier test's
    _until_gone(lambda: descriptors() - before, SETTLE)


@contextlib.contextmanager
def no_thread_left(seconds: float = 0.0) -> Iterator[None]:
    """What runs within leaves no thread.

    :param seconds: how long its threads may take to wind down; by default it has waited for them
        itself.
    """
    before = threads()
    yield
    threads_end(before, seconds)


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """What runs within leaves no descriptor open."""
    gc.collect()  # else a number that garbage holds could be taken for the one that is left
    before = descriptors()
    yield
    descriptors_close(before)


def _until_gone(left: Callable[[], Set[object]], seconds: float) -> None:
    wait = Patience(seconds, longest_step=LONGEST_STEP)
    while more := left():
        assert not wait.over, f"left behind: {sorted(map(str, more))}"
        time.sleep(LOOK)
