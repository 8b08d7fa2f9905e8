"""The standard streams, which may be closed, or have a reader that has gone.

A message that cannot be written must never decide how a command ends. Imported before anything
else, so it imports next to nothing.
"""

from __future__ import annotations

import os
import sys


def occupy() -> None:
    """Open the descriptors 0 to 2 if the caller closed them.

    Otherwise a file that is opened next would get one of their numbers, and be written to as
    standard error. They stay unusable (EBADF), and ``sys.stdin`` and ``sys.stdout`` stay None.
    ``sys.stderr`` leads nowhere, since ``print`` would use standard output otherwise.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # the lowest number that is free
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY if fd else os.O_WRONLY), True)
    if sys.stderr is None:
        mute()


def shown(text: str) -> str:
    """A text of a peer or a file in one line: what a terminal would obey is written as Python's
    escapes, and so are line ends, lone surrogates and changes of direction."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def say(sentence: str) -> bool:
    """Print a sentence on standard error, if anybody is there; it may have words of a peer.

    :return: whether it could be written.
    """
    if sys.stderr is None:
        return False
    try:
        # one write: a second signal's sentence may come between two
        sys.stderr.write(shown(sentence) + "\n")
        sys.stderr.flush()
    except OSError:
        mute()
        return False
    return True


def log(sentence: str) -> None:
    """Tell the system's log (syslog(3)) what nobody can read on standard error any more, and has to
    be known: that a guest stands still, and what to do."""
    import syslog

    syslog.openlog("ramferry")
    syslog.syslog(syslog.LOG_ERR, shown(sentence.rstrip("\n")))


def mute() -> None:
    """Drop what is left in standard error's buffer: writing it would fail again, and change the
    exit code."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process
