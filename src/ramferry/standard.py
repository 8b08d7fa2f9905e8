"""The standard streams as they may be found: closed, or with nobody behind them any more.

What a person was to read must never decide how a command ends. Imported before anything else, so it
imports next to nothing.
"""

from __future__ import annotations

import os
import sys


def occupy() -> None:
    """Take the descriptors 0 to 2, where the caller closed them.

    Or what is opened next gets one of their numbers, and is written to as standard error. Whoever
    uses one finds it as it was, unusable (EBADF); ``sys.stdin`` and ``sys.stdout`` stay None.
    ``sys.stderr`` leads nowhere, as what is said there would go to standard output otherwise.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # the lowest number that is free
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY if fd else os.O_WRONLY), True)
    if sys.stderr is None:
        mute()


def say(sentence: str) -> None:
    """Print a sentence on standard error, if anybody is there."""
    if sys.stderr is None:
        return
    try:
        # one write: a second signal's sentence may come between two
        sys.stderr.write(sentence + "\n")
        sys.stderr.flush()
    except OSError:
        mute()


def mute() -> None:
    """Nobody can be told: what is left in the buffer would fail again, and become the exit code."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process
