"""Temporary folders that go with their process, even if that is killed.

A process that is killed leaves its folder behind. Each folder is locked (flock(2)) as long as its
process lives, or another one that shares the lock, so that a later start can see which belong to no
process, and removes those.
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
"""The names of such folders. The process id is for a person who looks; the lock is what counts."""
_WANTED: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ONLY_OWNER: Final = 0o700


IN_MEMORY: Final = Path("/dev/shm")
"""A folder in memory: what is written there reaches no disk."""
SHORT_PLACES: Final = (Path("/run"), IN_MEMORY, Path("/tmp"))
"""Where folders for sockets are made if TMPDIR is too long."""
_LONGEST_SOCKET: Final = 24
"""Most bytes of a socket's name in such a folder."""
_held: Final[set[int]] = set()


class TempFolder:
    """A folder of mode 0700; a context manager that removes it with all that is in it."""

    def __init__(self, parent: Path | None = None) -> None:
        """Make it, and remove what killed processes left beside it.

        :param parent: where to make it; by default in TMPDIR.
        :raise OSError: there is no such folder, or it may not be written.
        """
        parent = (parent or Path(tempfile.gettempdir())).absolute()
        sweep(parent)
        self.path, self.descriptor = _made(parent)
        _held.add(self.descriptor)
        """Its name, and a descriptor of the open folder, which stays valid whatever becomes of the
        name."""

    @classmethod
    def for_sockets(cls) -> Self:
        """Make a folder whose path is short enough for sockets in it.

        :raise OSError: it can be made in none of the places.
        """
        *others, last = places_for_sockets()
        for place in others:
            with suppress(OSError):
                return cls(place)
        return cls(last)

    def close(self) -> None:
        """Remove it; what cannot be removed now is removed by a later start."""
        shutil.rmtree(self.path, ignore_errors=True)
        _held.discard(self.descriptor)
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def held() -> tuple[int, ...]:
    """Descriptors of the folders of this process: a process that inherits them keeps the folders,
    whose sockets it uses, where this one is killed."""
    return tuple(_held)


def places_for_sockets() -> tuple[Path, ...]:
    """Folders in which sockets' paths are short enough: TMPDIR first, if it is."""
    places = (Path(tempfile.gettempdir()).absolute(), *SHORT_PLACES)
    room = MAX_UNIX_PATH - len(f"/{_prefix()}12345678/") - _LONGEST_SOCKET
    return tuple(dict.fromkeys(one for one in places if len(os.fsencode(one)) <= room))


def sweep(parent: Path) -> None:
    """Remove what killed processes left in ``parent``: this user's, or, if root, everybody's."""
    with suppress(OSError):
        for name in filter(_NAME.fullmatch, os.listdir(parent)):
            with suppress(OSError):
                _remove_left(parent / name)


def _remove_left(path: Path) -> None:
    """Remove a folder that no process holds; one with folders inside is not Ramferry's."""
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
    """A new folder in ``parent``, and the descriptor that holds its lock."""
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
