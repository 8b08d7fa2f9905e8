"""A QEMU's process on this host: the user as which it opens files, and which files it sees."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ramferry.errors import PeerUnreachable
from ramferry.hardware.inside import resolve_inside

PROC: Final = "/proc"


@dataclass(frozen=True, slots=True)
class Process:
    """One process, by its id; it may end at any moment."""

    pid: int

    @property
    def user(self) -> int:
        """The user id with which it opens files (fsuid in proc_pid_status(5)).

        :raise PeerUnreachable: there is no such process.
        """
        try:
            return int(self._status(("Uid:",))[0][3])
        except OSError as error:
            raise self._gone() from error
        except LookupError as error:
            raise PeerUnreachable(
                f"the QEMU, process {self.pid}, does not tell its user"
            ) from error

    @property
    def folder(self) -> str:
        """Its working directory.

        :raise OSError: the process has ended, or this user may not read its working directory.
        """
        return os.readlink(f"{PROC}/{self.pid}/cwd")

    def found(self, path: str) -> Path:
        """The file that the process calls ``path``, as a path without links that this process can
        open.

        Links are followed inside that process's root directory, which may be a container's.

        :param path: absolute.
        :raise OSError: the links of ``path`` lead round in a circle.
        """
        return Path(resolve_inside(f"{PROC}/{self.pid}/root", path))

    def sees(self, path: Path) -> bool:
        """Whether it finds the same file at ``path`` as this process does.

        :raise PeerUnreachable: it has ended.
        """
        try:
            there, here = os.stat(self.found(str(path))), os.stat(path)
        except PermissionError:
            return True  # not ours to look at
        except OSError:
            if self._ended():
                raise self._gone() from None
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def memory_bytes(self) -> int:
        """Bytes of memory that it uses: VmRSS, VmSwap and HugetlbPages of proc_pid_status(5), which
        do not overlap.

        :raise OSError: it has ended.
        """
        counted = self._status(("VmRSS:", "VmSwap:", "HugetlbPages:"))
        return sum(int(values[0]) << 10 for values in counted)

    def _ended(self) -> bool:
        """True also where its parent has not asked for its exit code yet."""
        try:
            return self._status(("State:",))[0][0] in ("Z", "X")
        except (OSError, LookupError):
            return True

    def _gone(self) -> PeerUnreachable:
        return PeerUnreachable(f"the QEMU, process {self.pid}, has ended")

    def _status(self, names: tuple[str, ...]) -> list[list[str]]:
        """The words after each of ``names`` in its ``/proc/PID/status``."""
        lines = Path(f"{PROC}/{self.pid}/status").read_text().splitlines()
        return [line.split()[1:] for line in lines if line.startswith(names)]
