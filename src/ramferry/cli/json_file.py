"""What ``--json FILE`` names: a file that holds what it held until the new document is whole."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from ramferry.errors import HostError, UsageError
from ramferry.report.document import write_document
from ramferry.transport.safefile import SafeFile

_ALREADY_OPEN: Final = ("/dev/", "/proc/")
"""Names below these stand for something that is open already: it is written to, not replaced."""


class JsonFile:
    """Where one document goes: a file, standard output (``-``), or a pipe or device."""

    def __init__(self, asked: str) -> None:
        """Check that it can be written, without changing it.

        :raise UsageError: it cannot.
        """
        self.to_stdout = asked == "-"
        self._stream: IO[str] | None = None
        self._path = Path(os.path.realpath(asked))
        if self.to_stdout:
            if sys.stdout is None:
                raise UsageError("standard output is closed")
            return
        try:
            if asked.startswith(_ALREADY_OPEN) or _is_special(self._path):
                self._stream = open(asked, "w")  # noqa: SIM115 - closed when written
                return
            with SafeFile(self._path, replace=True, like=None):
                pass
        except OSError as error:
            raise UsageError(f"cannot write {asked}: {error.strerror}") from error
        except HostError as error:
            raise UsageError(str(error)) from error

    @property
    def replaced(self) -> bool:
        """Whether writing replaces the previous document; False for a stream, which can be written
        once."""
        return not self.to_stdout and self._stream is None

    def write(self, content: Mapping[str, Any]) -> None:
        """Write the document in place of what is there.

        :raise HostError: the disk is full, or the like; a file holds what it held.
        """
        if self.to_stdout:
            write_document(content, sys.stdout)
            return
        if self._stream is not None:
            try:
                write_document(content, self._stream)
            finally:
                with contextlib.suppress(OSError):  # what write_document has told of
                    self._stream.close()
            return
        text = io.StringIO()
        write_document(content, text)
        rest = memoryview(text.getvalue().encode())
        with SafeFile(self._path, replace=True, like=None) as file:
            try:
                while rest:
                    rest = rest[os.write(file.fd, rest) :]
                _dress(file.fd, self._path)
            except OSError as error:
                kept = "; it holds what it held before" if self._path.exists() else ""
                raise HostError(f"cannot write {self._path}: {error.strerror}{kept}") from error
            file.commit()


def _is_special(path: Path) -> bool:
    """Whether there is something that no file may replace: a pipe, a device, a folder."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _dress(fd: int, path: Path) -> None:
    """Give the new file the mode and owner of the one that it replaces, or of any new one."""
    try:
        old = path.stat()
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(fd, 0o666 & ~mask)
        return
    if os.geteuid() == 0:
        os.fchown(fd, old.st_uid, old.st_gid)
    os.fchmod(fd, stat.S_IMODE(old.st_mode))
