"""A folder for sockets and scratch files that a QEMU's user may use, and nobody else.

A QEMU often runs as another user than Ramferry (libvirt's as libvirt-qemu). It can make sockets,
and connect to Ramferry's, only where its user may enter: in a folder of mode 0700 that is handed to
that user; root may enter it in any case. Ramferry makes its own sockets there first. Once the
folder belongs to another user, Ramferry follows no name in it, because that user may replace it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Self

from ramferry.control.hosts.process import Process
from ramferry.errors import HostError
from ramferry.transport.tempfolder import SHORT_PLACES, TempFolder, places_for_sockets, sweep


class Folder:
    """A folder that one QEMU's user may use; a context manager that removes it with its content."""

    def __init__(self, uri: str, process: Process | None, parents: tuple[Path, ...] = ()) -> None:
        """Make it in a place where sockets' paths are short enough and the QEMU sees the same
        files.

        :param uri: QMP address of the QEMU that is to use it, for error messages.
        :param process: that QEMU's process; None if it is not known, in which case the folder stays
            this user's.
        :param parents: where it may be made, best first; by default TMPDIR and, if that is too long
            for a socket or the QEMU does not see it, places with short names.
        :raise HostError: it can be made in none of them.
        """
        self._uri = uri
        self._process = process
        self._given = False
        self._owner = None if process is None else process.user
        self._folder = self._make(parents or places_for_sockets())
        self.path = self._folder.path

    def require(self, *, writes: bool) -> None:
        """Check beforehand that the folder can be handed to the QEMU's user.

        :param writes: True if the QEMU makes files or sockets there, False if it only connects to
            Ramferry's.
        :raise HostError: the QEMU runs as another user, and this user may not hand folders to
            others.
        """
        if self._is_ours or os.geteuid() == 0 or (self._passes and not writes):
            return
        raise HostError(
            f"the QEMU at {self._uri} runs as another user ({self._owner}), and this one"
            " cannot share a socket or a file with it: run this command as that user or as root"
        )

    def hand_over(self) -> None:
        """Give the folder, and the sockets that are in it, to the QEMU's user.

        :raise HostError: as ``require`` for a QEMU that only connects.
        """
        self.require(writes=False)
        if self._given or self._is_ours or self._passes:
            return
        assert self._owner is not None
        descriptor = self._folder.descriptor
        with os.scandir(descriptor) as entries:
            for entry in entries:
                # nobody else can have made it: so far the folder is ours
                if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                    os.chmod(entry.name, 0o666, dir_fd=descriptor)
        os.fchown(descriptor, self._owner, -1)
        self._given = True

    @property
    def _passes(self) -> bool:
        """Whether the QEMU may enter the folder no matter who owns it."""
        return self._owner == 0

    @property
    def _is_ours(self) -> bool:
        return self._owner in (None, os.geteuid())

    def _make(self, parents: tuple[Path, ...]) -> TempFolder:
        for place in dict.fromkeys((*parents, *SHORT_PLACES)):
            sweep(place)
        problems = []
        for parent in parents:
            try:
                return self._make_in(parent)
            except OSError as error:
                problems.append(f"{parent}: {error.strerror}")
        raise HostError(
            f"cannot make a folder in {'; in '.join(problems)}; the QEMU at {self._uri} needs"
            " one that its user may enter"
        )

    def _make_in(self, parent: Path) -> TempFolder:
        """:raise OSError: the folder cannot be made there."""
        if not self._may_reach(parent):
            raise PermissionError(0, f"the QEMU's user ({self._owner}) may not enter that")
        made = TempFolder(parent)
        if self._process is not None and not self._process.sees(made.path):
            made.close()
            raise FileNotFoundError(0, "the QEMU sees another file system there")
        return made

    def _may_reach(self, parent: Path) -> bool:
        """Whether the QEMU's user, if it is another one, may pass through the folders above."""
        if self._is_ours or self._passes:
            return True
        return all(_lets_in(folder, self._owner) for folder in (parent, *parent.absolute().parents))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._folder.close()


def _lets_in(folder: Path, user: int | None) -> bool:
    """Whether a folder's mode lets a user pass; groups are not looked at."""
    try:
        facts = folder.stat()
    except OSError:
        return True  # who makes a folder there says what is wrong
    return bool(facts.st_mode & (stat.S_IXUSR if facts.st_uid == user else stat.S_IXOTH))
