"""Temporary folders that go with their process, even if that is killed.

Whoever is killed leaves its folder behind. Each is locked (flock(2)) for as long as its process
lives, so that the next start can tell which are nobody's, and removes those.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from ramferry.transport.address import MAX_UNIX_PATH

_NAME: Final = re.compile(r"ramferry\.[0-9]+\.[a-z0-9_]{8}")
"""With the process's id, for a person who looks; what counts is the lock."""
_WANTED: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ONLY_OWNER: Final = 0o700


IN_MEMORY: Final = Path("/dev/shm")
"""What is written here reaches no disk."""
SHORT_PLACES: Final = (Path("/run"), IN_MEMORY, Path("/tmp"))
"""For sockets, where TMPDIR is too long for one."""
_LONGEST_SOCKET: Final = 24
"""Bytes that the name of a socket in such a folder may have."""


class TempFolder:
    """A folder of mode 0700; a context manager that removes it with all that is in it."""

    def __init__(self, parent: Path | None = None) -> None:
        """Make it, and remove what killed processes left beside it.

        :param parent: where; by default where TMPDIR says.
        :raise OSError: there is no such folder, or it may not be written.
        """
        parent = (parent or Path(tempfile.gettempdir())).absolute()
        sweep(parent)
        self.path, self.descriptor = _made(parent)
        """Its name, and the open folder itself, whatever has become of the name."""

    @classmethod
    def for_sockets(cls) -> Self:
        """One whose path is short enough for sockets in it.

        :raise OSError: it can be made in none of the places there are.
        """
        *others, last = places_for_sockets()
        for place in others:
            with suppress(OSError):
                return cls(place)
        return cls(last)

    def close(self) -> None:
        """Remove it; what cannot be removed now, the next start removes."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def places_for_sockets() -> tuple[Path, ...]:
    """Where the paths of sockets are short enough; first where TMPDIR says, if it is there."""
    places = (Path(tempfile.gettempdir()).absolute(), *SHORT_PLACES)
    room = MAX_UNIX_PATH - len(f"/{_prefix()}12345678/") - _LONGEST_SOCKET
    return tuple(dict.fromkeys(one for one in places if len(os.fsencode(one)) <= room))


def sweep(parent: Path) -> None:
    """Remove what processes that were killed left in ``parent``: ours, or as root anybody's."""
    with suppress(OSError):
        for name in filter(_NAME.fullmatch, os.listdir(parent)):
            with suppress(OSError):
                _remove_left(parent / name)


def _remove_left(path: Path) -> None:
    """Remove one that nobody holds; what has folders inside is none of these."""
    lock = _lock(path)
    try:
        facts = os.fstat(lock)
        if os.geteuid() not in (0, facts.st_uid) or stat.S_IMODE(facts.st_mode) != _ONLY_OWNER:
            return
        with os.scandir(lock) as entries:
            found = list(entries)
            if any(entry.is_dir(follow_symlinks=False) for entry in found):
                return
        for entry in found:
            os.unlink(entry.name, dir_fd=lock)
        path.rmdir()
    finally:
        os.close(lock)


def _prefix() -> str:
    return f"ramferry.{os.getpid()}."


def _made(parent: Path) -> tuple[Path, int]:
    """A new folder in ``parent``, and what holds its lock."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_prefix(), dir=parent))
        try:
            lock = _lock(path)
        except (BlockingIOError, FileNotFoundError):
            continue  # another start took it for one that was left, and removes it
        except OSError:
            path.rmdir()
            raise
        if os.fstat(lock).st_nlink:
            return path, lock
        os.close(lock)


def _lock(path: Path) -> int:
    lock = os.open(path, _WANTED)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock
