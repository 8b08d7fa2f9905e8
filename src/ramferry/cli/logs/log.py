"""A command's log on standard error, which never waits for its reader."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from ramferry import standard
from ramferry.cli.line_writer import LineWriter
from ramferry.cli.logs.entry import JSON, Entry, json_line, text_line
from ramferry.cli.logs.journal import JournalLine, JournalWriter, datagram, fields_of, is_journal
from ramferry.metrics.notes import as_note, warning
from ramferry.patience import Patience


class Log:
    """Says sentences on standard error, in any thread; where that is systemd's journal, with
    fields."""

    def __init__(self, command: str, format: str) -> None:
        """
        :param command: what begins a line of text.
        :param format: one of ``entry.LOG_FORMATS``.
        """
        self._line = json_line if format == JSON else partial(text_line, command=command)
        self._format = format
        self._journal = sys.stderr is not None and is_journal(sys.stderr.fileno())
        self._writer = self._make()

    def _make(self) -> LineWriter | None:
        if sys.stderr is None:
            return None
        # a terminal or log that went away is no reason to drop a guest on its way: the system's
        # log is told then
        kind = JournalWriter if self._journal else LineWriter
        return kind(sys.stderr.fileno(), lost=self._lost, instead=standard.log)

    def say(self, text: str, more: Mapping[str, Any] | None = None) -> None:
        """Say a sentence.

        :param more: further fields.
        """
        if self._writer is None:
            return
        entry = Entry(as_note(text), time.time(), more or {})
        line = self._line(entry)
        if self._journal:
            message = line.rstrip("\n") if self._format == JSON else entry.message
            line = JournalLine(line, datagram(fields_of(entry, message)))
        self._writer.put(line)

    def close(self, patience: Patience) -> None:
        """Write what is queued, if anybody reads it."""
        if self._writer is not None:
            self._writer.close(patience)

    def _lost(self, count: int) -> str:
        note = warning(f"{count} sentences were not read in time and are lost")
        return self._line(Entry(note, time.time())).rstrip("\n")
