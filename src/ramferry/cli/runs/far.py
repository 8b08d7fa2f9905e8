"""What ``ramferry far`` does."""

from __future__ import annotations

import os
import sys

from ramferry.control.far.house import serve
from ramferry.errors import UsageError


def run() -> None:
    """Be a far half on the standard streams.

    :raise UsageError: they are closed, or a terminal.
    """
    if sys.stdin is None or sys.stdout is None or sys.stdin.isatty():
        raise UsageError("`ramferry far` is started by another ramferry, over ssh")
    serve(sys.stdin.fileno(), sys.stdout.fileno(), os.environ)
