"""If the reader of the output goes away, the command ends as ``gzip`` or ``cat`` would: by
SIGPIPE."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def ended_by_closed_pipes() -> Iterator[None]:
    """Let SIGPIPE end the process, silently, as ``ramferry inspect FILE | head -1`` expects it.

    Only for commands without sockets: Python ignores the signal because of those.
    """
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, before)
