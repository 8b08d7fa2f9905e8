"""A folder for sockets and scratch files that a QEMU's user may use, and nobody else.

A QEMU often runs as another user than whoever moves its guest (libvirt's as libvirt-qemu). It makes
its sockets, and connects to ours, where its user may enter: in a folder of mode 0700 that is handed
to that user, and that root passes into anyway. Our own sockets in it are made first; once the
folder is another user's, no name in it is followed by us, since that user may replace it.

Whoever is killed leaves its folder behind. Each is locked (flock(2)) for as long as its process
lives, so that the next start can tell which are nobody's, and removes those.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from ramferry.control.plan import Party, Route, Sockets
from ramferry.errors import HostError, PeerUnreachable
from ramferry.hardware.inside import resolve_inside
from ramferry.transport.address import MAX_UNIX_PATH

IN_MEMORY: Final = Path("/dev/shm")
"""What is written here reaches no disk."""

_PLACES: Final = (Path("/run"), IN_MEMORY, Path("/tmp"))
"""Short paths, for sockets where TMPDIR is too long a one."""

LONGEST_NAME: Final = 24
"""Bytes of the longest name of a socket in such a folder."""

_NAME: Final = re.compile(r"ramferry\.[0-9]+\.[a-z0-9_]{8}")
"""With the process's id, for a person who looks; what counts is the lock."""
_WANTED: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ONLY_OWNER: Final = 0o700


class Folder:
    """One such folder; a context manager that removes it with all that is in it."""

    def __init__(self, party: Party, parents: tuple[Path, ...] = ()) -> None:
        """Make it where its sockets' paths are short enough and the QEMU sees the same files.

        :param party: the QEMU that is to use it; one that is not of this host gets nothing.
        :param parents: where it may be made, best first; by default TMPDIR, and where that is too
            long for a socket or the QEMU does not see it, places with short names.
        :raise HostError: it can be made in none of them.
        """
        self._party = party
        self._given = False
        self._owner = None if party.pid is None else file_owner(party.pid)
        self.path, self._lock = self._make(parents or _for_sockets())

    def require(self, *, writes: bool) -> None:
        """Ask beforehand whether the QEMU can be given the folder.

        :param writes: whether it makes files or sockets there, rather than connect to ours.
        :raise HostError: it runs as another user, and this one may not hand folders to others.
        """
        if self._is_ours or os.geteuid() == 0 or (self._passes and not writes):
            return
        raise HostError(
            f"the QEMU at {self._party.uri} runs as another user ({self._owner}), and this one"
            " cannot share a socket or a file with it: run this command as that user or as root"
        )

    def hand_over(self) -> None:
        """Make the folder the QEMU's user's, who may connect to the sockets that are there.

        :raise HostError: as ``require``, of a QEMU that connects.
        """
        self.require(writes=False)
        if self._given or self._is_ours or self._passes:
            return
        assert self._owner is not None
        with os.scandir(self._lock) as entries:
            for entry in entries:
                # nobody else can have made it: so far the folder is ours
                if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                    os.chmod(entry.name, 0o666, dir_fd=self._lock)
        os.fchown(self._lock, self._owner, -1)
        self._given = True

    @property
    def _passes(self) -> bool:
        """Whether the QEMU may enter whoever owns the folder."""
        return self._owner == 0

    @property
    def _is_ours(self) -> bool:
        return self._owner in (None, os.geteuid())

    def _make(self, parents: tuple[Path, ...]) -> tuple[Path, int]:
        for place in dict.fromkeys((*parents, *_PLACES)):
            sweep(place)
        problems = []
        for parent in parents:
            if not self._may_reach(parent):
                problems.append(f"in {parent}: its user ({self._owner}) may not enter that")
                continue
            try:
                path, lock = _made(parent)
            except OSError as error:
                problems.append(f"in {parent}: {error.strerror}")
                continue
            if self._sees(path):
                return path, lock
            _remove(path, lock)
            os.close(lock)
            problems.append(f"in {parent}: it sees another file system there")
        raise HostError(
            f"no folder for the QEMU at {self._party.uri} can be made ({'; '.join(problems)})"
        )

    def _may_reach(self, parent: Path) -> bool:
        """Whether the QEMU's user may pass through the folders above, where it is another user."""
        if self._is_ours or self._passes:
            return True
        return all(_lets_in(folder, self._owner) for folder in (parent, *parent.absolute().parents))

    def _sees(self, path: Path) -> bool:
        """Whether the QEMU finds the same folder there; it can have a root of its own."""
        pid = self._party.pid
        if pid is None:
            return True
        try:
            there, here = os.stat(resolve_inside(f"/proc/{pid}/root", str(path))), os.stat(path)
        except PermissionError:
            return True  # not ours to look at
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        _remove(self.path, self._lock)
        os.close(self._lock)


class Folders:
    """The two folders of a migration; a context manager that removes them.

    The source QEMU connects to sockets of ours in its folder, the destination makes its own in the
    other: no user can enter both.
    """

    def __init__(self, source: Party, destination: Party) -> None:
        """Make them.

        :raise HostError: they cannot be made.
        """
        with ExitStack() as stack:
            self._source = stack.enter_context(Folder(source))
            self._destination = stack.enter_context(Folder(destination))
            self._stack = stack.pop_all()
        self.sockets = Sockets(str(self._source.path), str(self._destination.path))
        self._admits = False

    def require(self, route: Route) -> None:
        """See beforehand that both QEMUs can be given the sockets that a route needs.

        :raise HostError: one of them cannot.
        """
        self._admits = _holds(self._source, *(step.listen for step in route.relays))
        if self._admits:
            self._source.require(writes=False)
        if _holds(self._destination, route.incoming or ""):
            self._destination.require(writes=True)
            self._destination.hand_over()

    def admit_source(self) -> None:
        """Let the source connect to the relays, which listen by now."""
        if self._admits:
            self._source.hand_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


def _lets_in(folder: Path, user: int | None) -> bool:
    """Whether a folder's mode lets a user pass; of groups nothing is known here."""
    try:
        facts = folder.stat()
    except OSError:
        return True  # who makes a folder there says what is wrong
    return bool(facts.st_mode & (stat.S_IXUSR if facts.st_uid == user else stat.S_IXOTH))


def _holds(folder: Folder, *uris: str) -> bool:
    return any(uri.startswith(f"unix:{folder.path}/") for uri in uris)


def file_owner(pid: int) -> int:
    """The user as whom a process uses files (its fsuid, proc_pid_status(5)).

    :raise PeerUnreachable: there is no such process.
    """
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[4])
    except OSError as error:
        raise PeerUnreachable(f"the QEMU, process {pid}, has ended") from error
    raise PeerUnreachable(f"the QEMU, process {pid}, does not tell its user")


def sweep(parent: Path) -> None:
    """Remove what processes that were killed left in ``parent``: ours, or as root anybody's."""
    with suppress(OSError):
        for name in filter(_NAME.fullmatch, os.listdir(parent)):
            with suppress(OSError), _locked(parent / name) as lock:
                if _is_left(lock):
                    _remove(parent / name, lock)


def _is_left(lock: int) -> bool:
    """Whether a folder that nobody holds is one of these: they have no folders inside."""
    facts = os.fstat(lock)
    if os.geteuid() not in (0, facts.st_uid) or stat.S_IMODE(facts.st_mode) != _ONLY_OWNER:
        return False
    with os.scandir(lock) as entries:
        return not any(entry.is_dir(follow_symlinks=False) for entry in entries)


def _remove(path: Path, lock: int) -> None:
    """Remove the folder with what is in it; what cannot be removed now, the next start removes."""
    with suppress(OSError):
        for name in os.listdir(lock):
            os.unlink(name, dir_fd=lock)
        path.rmdir()


def _for_sockets() -> tuple[Path, ...]:
    """Folders for sockets, those first that an operator chose, without those too long."""
    places = (Path(tempfile.gettempdir()).absolute(), *_PLACES)
    fits = MAX_UNIX_PATH - LONGEST_NAME - len(f"//ramferry.{os.getpid()}.12345678")
    return tuple(dict.fromkeys(one for one in places if len(os.fsencode(one)) <= fits))


def _made(parent: Path) -> tuple[Path, int]:
    """A new folder in ``parent``, and what holds its lock."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=f"ramferry.{os.getpid()}.", dir=parent)).absolute()
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


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    lock = _lock(path)
    try:
        yield lock
    finally:
        os.close(lock)
