"""A UNIX socket that listens, and goes on to do so at its path when somebody takes that away.

A QEMU that listens for a migration removes what stands at its path before, and its own socket
after the migration. A relay that stood at the same path would live on with nobody able to reach it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import time
from collections.abc import Callable, Container
from typing import Final

from ramferry.transport import sockets

_LISTENING: Final = "00010000"
"""The flags of a listening socket in /proc/self/net/unix, which ProcSubset=pid leaves there."""
_LOOK_SECONDS: Final = 1.0
"""How often a path that is another's is looked at."""


class KeptPath:
    """One listening socket at a time, non-blocking, and beside it those that lost their path and
    may have a connection that waits."""

    def __init__(self, path: str, backlog: int) -> None:
        """Listen at ``path``; a stale socket there is replaced.

        :raise OSError: the path is in use, or this process may not use it.
        """
        self.path = path
        self._backlog = backlog
        self._complaint = ""
        self._next_look = 0.0
        self._probed: tuple[int, int] | None = None
        """The last file at the path that a connection was made to, for want of another way."""
        self._ready = select.epoll()
        self._file = -1
        """The socket's file, opened as a path: its inode is not used again, and tells its owner."""
        self.sockets: list[socket.socket] = []
        """The one that listens at the path, first."""
        try:
            self.sockets.append(self._bind())
        except BaseException:
            self._ready.close()
            raise

    def fileno(self) -> int:
        """A descriptor that stays the same, readable while a connection waits to be accepted."""
        return self._ready.fileno()

    def keep(self, name: str) -> str:
        """See that the socket is reached by its path, and listen there again if it is not.

        A live socket of another process, or what is no socket, is left alone. Called about once a
        second.

        :param name: the address, for the sentence.
        :return: a sentence where that changed something, or cannot be done; else "".
        """
        self._close_old()
        if self._stands() or time.monotonic() < self._next_look:
            return ""
        self._next_look = time.monotonic() + _LOOK_SECONDS
        before = os.fstat(self._file)
        try:
            self.sockets.insert(0, self._bind())
        except OSError as error:
            again, self._complaint = self._complaint, sockets.reason(error)
            if again == self._complaint:
                return ""
            return (
                f"this relay's socket at {name} was taken away, and it cannot listen there again"
                f" until that has changed: {self._complaint}"
            )
        self._complaint, self._next_look = "", 0.0
        return (
            f"its socket at {name} was taken away (a QEMU does that which listens at the same"
            f" path): listening there again{self._give_back(before)}"
        )

    def close(self) -> None:
        """Stop listening, and remove the path if it is still this socket's.

        The path goes first: once nobody listens, another process may take it at any moment.
        """
        if self._holds():
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        os.close(self._file)
        for sock in self.sockets:
            sock.close()
        self._ready.close()

    def _bind(self) -> socket.socket:
        ours = frozenset(os.fstat(sock.fileno()).st_ino for sock in self.sockets)
        if is_stale(self.path, self._may_probe, ours):
            os.unlink(self.path)
        sock = socket.socket(socket.AF_UNIX)
        with sockets.closing_on_error(sock):
            sock.bind(self.path)
            file = os.open(self.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            if self._file >= 0:
                os.close(self._file)
            self._file = file
            sock.listen(self._backlog)
            sock.setblocking(False)
            self._ready.register(sock.fileno(), select.EPOLLIN)
        return sock

    def _holds(self) -> bool:
        """Whether what is at the path is this socket."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except OSError:
            return False

    def _stands(self) -> bool:
        """Whether the socket is reached by its path, or was moved to another on purpose."""
        moved = not os.path.lexists(self.path) and os.fstat(self._file).st_nlink > 0
        return moved or self._holds()

    def _close_old(self) -> None:
        """Close the sockets that lost their path, once none of their connections waits."""
        for old in self.sockets[1:]:
            if not select.select([old], [], [], 0)[0]:
                self._ready.unregister(old.fileno())
                self.sockets.remove(old)
                old.close()

    def _give_back(self, before: os.stat_result) -> str:
        """Give the new file the owner and the permissions that the old one had in the end: libvirt
        gives a relay's socket to QEMU's user. Returns what a sentence adds if that fails."""
        now = os.fstat(self._file)
        ours = stat.S_ISSOCK(now.st_mode) and now.st_nlink == 1 and now.st_uid == os.geteuid()
        # by the descriptor, since whoever may write to the folder could exchange the file
        place = f"/proc/self/fd/{self._file}"
        try:
            if ours and (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
                os.chown(place, before.st_uid, before.st_gid)
            if ours and now.st_mode != before.st_mode:
                os.chmod(place, stat.S_IMODE(before.st_mode))
        except OSError as error:
            return f", but it could not get its owner back ({sockets.reason(error)})"
        return ""

    def _may_probe(self, found: os.stat_result) -> bool:
        """Whether a file was not connected to before; each is once."""
        file = (found.st_dev, found.st_ino)
        before, self._probed = self._probed, file
        return before != file


def is_stale(
    path: str,
    may_probe: Callable[[os.stat_result], bool] = lambda _: True,
    ours: Container[int] = (),
) -> bool:
    """True for a socket on which nobody listens, False if there is nothing.

    :param may_probe: asked whether to connect to a socket of which the kernel does not tell.
    :param ours: inodes of sockets that listened at ``path`` and lost it; they do not count.
    :raise OSError: somebody listens there, as far as one can know, or it is no socket.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "the path exists and is not a socket")
    # ask the kernel first: a connection that closes at once ends a QEMU that waits for its guest
    if not _listed_as_listening(path, ours) and may_probe(found):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                return True
    raise OSError(errno.EADDRINUSE, "another process listens there")


def _listed_as_listening(path: str, ours: Container[int]) -> bool:
    """True if a process of this network namespace listens at ``path``, by an absolute name."""
    with (
        contextlib.suppress(OSError),
        open("/proc/self/net/unix", errors="surrogateescape") as table,
    ):
        for line in table:
            fields = line.rstrip("\n").split(None, 7)  # inodes are padded
            if len(fields) < 8 or fields[3] != _LISTENING or int(fields[6]) in ours:
                continue
            if fields[7].startswith("/"):
                with contextlib.suppress(OSError):
                    if os.path.samefile(fields[7], path):
                        return True
    return False
