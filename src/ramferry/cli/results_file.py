"""The JSON file of a benchmark: complete after every run, so that nothing is lost however it
ends."""

from __future__ import annotations

import os
from pathlib import Path

from ramferry.cli.json_file import JsonFile
from ramferry.errors import HostError, UsageError
from ramferry.report.benchmark.comparison import Comparison
from ramferry.report.benchmark.series import LinkSeries, document_of


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
        self._file: JsonFile | None = None
        if asked is None:
            return
        folder = os.path.isdir(asked)
        if count > 1 and not folder:
            raise UsageError(f"--json must name a folder for {count} scenarios, {asked} is none")
        if not self.to_stdout:
            self.path = Path(asked) / f"{scenario}.json" if folder else Path(asked)
            self.name = self.path.name
        # what could not be written is refused now, not lost after an hour's work
        try:
            self._file = JsonFile(asked if self.path is None else str(self.path))
        except UsageError as error:
            raise UsageError(f"--json: {error}") from error

    def keep(self, measured: Comparison | LinkSeries) -> str:
        """Rewrite the file. On failure return the reason; the old content stays.

        The next run may succeed in writing, so a failure here ends nothing.
        """
        try:
            if self._file is not None and self._file.replaced:
                self._file.write(document_of(measured))
        except HostError as error:
            return str(error)
        return ""

    def end(self, measured: Comparison | LinkSeries) -> None:
        """Write the final document.

        :raise HostError: the disk is full, or the like.
        """
        if self._file is not None:
            self._file.write(document_of(measured))
