"""A file that appears under its name complete and on disk, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from ramferry.errors import HostError, RamferryError, UsageError

_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL}
"""Errors of a file system without O_TMPFILE."""
_OPEN_FILES = "/proc/self/fd"
"""Where a file without a name is found, to give it one."""
_NO_LINK = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}
"""Errors of a file system without hard links."""
_NO_FOLDER_SYNC = errno.EINVAL
"""Error of a file system whose folders cannot be synced, because it brings names to disk by
itself."""


class SafeFile:
    """Writes into a file without a name and gives it one at the end.

    If the file system has no files without a name, it gets a temporary name in the same folder, and
    is removed unless it is committed. Use it in a ``with`` block, which ends without a file under
    the final name unless :meth:`commit` was called.

    Other threads may write and commit. If the block ends meanwhile, such a thread keeps its
    descriptor until it is done with it, but the file gets no name any more.
    """

    def __init__(self, path: Path, *, replace: bool, like: os.stat_result | None) -> None:
        """Prepare to write ``path``.

        :param replace: whether a regular file of that name may be replaced.
        :param like: the status of the input file. If that is a regular file, its mode, owner (if
            this user is root) and mtime are taken over. None: only this user may read the file.
        :raise UsageError: something has that name and may not be replaced.
        """
        self._path = path
        self._replace = replace
        self._like = like
        self._folder = -1
        self._fd = -1
        self._temporary = ""
        self._lock = threading.Lock()
        self._users = 0
        """Number of threads that use the descriptors."""
        self._left = False
        """True once the block has ended."""
        self.committed = False
        """True once the file has its name and that is on disk; it never becomes False again."""
        self._check_name()

    def _check_name(self) -> None:
        """Refuse early what :meth:`commit` would refuse only after all the work."""
        try:
            mode = _mode(self._path)
            if self._like and os.path.samestat(os.stat(self._path), self._like):
                raise UsageError(f"{self._path} is the input itself")
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._cannot(error) from error
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise UsageError(f"{self._path} exists and is not a regular file{self._way_out()}")
        if not self._replace:
            raise self._exists()

    def _way_out(self) -> str:
        return ": use --stdout" if self._like else ""

    def __enter__(self) -> Self:
        try:
            self._folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            self._fd = self._open()
        except OSError as error:
            self._leave()
            raise self._cannot(error) from error
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave()

    @property
    def fd(self) -> int:
        """Descriptor of the open file, for the thread of the ``with`` block; -1 after the block.

        Other threads get it from ``using``.
        """
        return self._fd

    @contextlib.contextmanager
    def using(self) -> Iterator[int]:
        """Descriptor of the open file, which stays open during this block.

        :raise HostError: the file was given up.
        """
        with self._lock:
            self._refuse_if_left()
            self._users += 1
        try:
            yield self._fd
        finally:
            with self._lock:
                self._users -= 1
                self._discard_if_unused()

    def commit(self) -> None:
        """Bring the data to disk, then give the file its name.

        :raise UsageError: there is a file of that name by now, and it may not be replaced.
        :raise HostError: the disk is full, or the folder may not be written.
        """
        self.bring_to_disk()
        self.give_name()

    def bring_to_disk(self) -> None:
        """The first half of ``commit``, which may take long; the file still has no name after it.

        :raise HostError: the disk is full, or the file was given up.
        """
        with self.using() as fd:
            try:
                self._dress()
                os.fsync(fd)
            except OSError as error:
                raise self._cannot(error) from error

    def give_name(self) -> None:
        """The second half of ``commit``: the file is there, or this raises and it is not.

        :raise UsageError: there is a file of that name by now, and it may not be replaced.
        :raise HostError: the folder may not be written, or the file was given up.
        """
        with self._lock:
            self._refuse_if_left()
            try:
                if self._replace:
                    self._rename(self._temporary or self._link_aside())
                else:
                    self._link_or_rename()
                self._bring_name_to_disk()
            except FileExistsError:
                raise self._exists() from None
            except OSError as error:
                raise self._cannot(error) from error
            self.committed = True

    def _bring_name_to_disk(self) -> None:
        """Bring the file's name to disk; if that fails, remove the name again."""
        try:
            os.fsync(self._folder)
        except OSError as error:
            if error.errno == _NO_FOLDER_SYNC:
                return
            with contextlib.suppress(OSError):
                os.unlink(self._path.name, dir_fd=self._folder)
            raise

    def _open(self) -> int:
        private = self._like is None or stat.S_ISREG(self._like.st_mode)
        mode = 0o600 if private else 0o666
        if os.path.isdir(_OPEN_FILES):
            try:
                return os.open(".", os.O_TMPFILE | os.O_WRONLY, mode, dir_fd=self._folder)
            except OSError as error:
                if error.errno not in _NO_TMPFILE:
                    raise
        name = self._own_name()
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        self._temporary = name
        return os.open(name, flags, mode, dir_fd=self._folder)

    def _dress(self) -> None:
        """Give the file the mode, owner and mtime of ``like``."""
        if self._like is None or not stat.S_ISREG(self._like.st_mode):
            return
        if os.geteuid() == 0:
            os.fchown(self._fd, self._like.st_uid, self._like.st_gid)
        os.fchmod(self._fd, stat.S_IMODE(self._like.st_mode) & 0o777)
        os.utime(self._fd, ns=(self._like.st_atime_ns, self._like.st_mtime_ns))

    def _link(self, source: str, name: str) -> None:
        """Give the file the name ``name``; the folder descriptors make Python follow ``source``."""
        os.link(
            source,
            name,
            src_dir_fd=self._folder,
            dst_dir_fd=self._folder,
            follow_symlinks=True,
        )

    def _link_aside(self) -> str:
        """Give the open file a temporary name, from which a rename can replace another file."""
        source = f"{_OPEN_FILES}/{self._fd}"
        self._temporary = self._own_name()
        self._link(source, self._temporary)
        return self._temporary

    def _link_or_rename(self) -> None:
        """Give the file its final name if nothing has that name, in one step."""
        try:
            self._link(self._temporary or f"{_OPEN_FILES}/{self._fd}", self._path.name)
        except OSError as error:
            if not self._temporary or error.errno not in _NO_LINK:
                raise
            if self._path.exists():
                raise self._exists() from None
            self._rename(self._temporary)

    def _rename(self, name: str) -> None:
        os.replace(name, self._path.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._temporary = ""

    def _own_name(self) -> str:
        return f".ramferry-{secrets.token_hex(6)}.part"

    def _refuse_if_left(self) -> None:
        if self._left:
            raise HostError(f"cannot write {self._path}: it was given up")

    def _leave(self) -> None:
        """Called at the end of the block: from here on the file gets no name."""
        with self._lock:
            self._left = True
            self._discard_if_unused()

    def _discard_if_unused(self) -> None:
        """Remove the file if it does not have its final name, and close everything; called with the
        lock."""
        if not self._left or self._users:
            return
        if self._temporary:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary, dir_fd=self._folder)
        self._temporary = ""
        fds, self._fd, self._folder = (self._fd, self._folder), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def _exists(self) -> RamferryError:
        return UsageError(f"{self._path} exists: --force replaces it")

    def _cannot(self, error: OSError) -> RamferryError:
        return HostError(f"cannot write {self._path}: {error.strerror}")


def _mode(path: Path) -> int:
    """What is there, or what a link leads to: /dev/stdout is one, to a terminal or a pipe."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return path.lstat().st_mode
