"""The JSON file of a benchmark: whole at any time, so that any end leaves what was done."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from ramferry.errors import HostError, UsageError
from ramferry.report.comparison import Comparison, document
from ramferry.report.document import write_document
from ramferry.transport.safefile import SafeFile


class ResultFile:
    """Where ``--json`` sends one scenario's result: a file, standard output, or nowhere."""

    def __init__(self, asked: str | None, scenario: str, count: int) -> None:
        """
        :param asked: what ``--json`` says.
        :param scenario: a scenario's name, for its file in a folder.
        :param count: scenarios of this command.
        :raise UsageError: it cannot be written, or is one file for several scenarios.
        """
        self.to_stdout = asked == "-"
        self.path: Path | None = None
        self.name = scenario
        if asked is None:
            return
        folder = os.path.isdir(asked)
        if count > 1 and not folder:
            raise UsageError(f"--json must name a folder for {count} scenarios, {asked} is none")
        if not self.to_stdout:
            self.path = Path(asked) / f"{scenario}.json" if folder else Path(asked)
            self.name = self.path.name
            self._check()
        elif sys.stdout is None:
            raise UsageError("--json - writes to standard output, which is closed")

    def _check(self) -> None:
        """Refuse now what would be lost after an hour's work."""
        assert self.path is not None
        try:
            with SafeFile(self.path, replace=True, like=None):
                pass
        except HostError as error:
            raise UsageError(f"--json: {error}") from error

    def keep(self, comparison: Comparison) -> str:
        """Replace the file's content; a sentence where it cannot be, and its content is the former.

        What cannot be written now may be after the next run, and no run is given up for it.
        """
        try:
            self._write(comparison)
        except HostError as error:
            return str(error)
        return ""

    def end(self, comparison: Comparison) -> None:
        """Write what is final.

        :raise HostError: the disk is full, or the like.
        """
        self._write(comparison)
        if self.to_stdout:
            write_document(document(comparison), sys.stdout)

    def _write(self, comparison: Comparison) -> None:
        if self.path is None:
            return
        text = io.StringIO()
        write_document(document(comparison), text)
        rest = memoryview(text.getvalue().encode())
        with SafeFile(self.path, replace=True, like=None) as file:
            try:
                while rest:
                    rest = rest[os.write(file.fd, rest) :]
            except OSError as error:
                raise HostError(
                    f"cannot write {self.path}: {error.strerror}; it holds what it held before"
                ) from error
            file.commit()
