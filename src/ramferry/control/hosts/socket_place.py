"""A socket that somebody else makes, and that is removed where it was left behind."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def remove_socket(path: Path) -> None:
    """Remove a socket; do nothing if there is none, or what is there is none."""
    with suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()


@contextmanager
def removed_at_end(path: Path) -> Iterator[None]:
    """``remove_socket`` at the end of the block."""
    try:
        yield
    finally:
        remove_socket(path)
