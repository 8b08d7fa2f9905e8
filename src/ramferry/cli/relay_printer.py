"""Tells of a relay whatever asked for it: a log, events and results as JSON, metrics."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, Any, Protocol

from ramferry.cli.line_writer import LineWriter
from ramferry.cli.logs.log import Log
from ramferry.cli.relay_sentences import result_fields, result_note, wrapping
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayCounters, RelayResult
from ramferry.metrics.document import document
from ramferry.metrics.notes import warning
from ramferry.patience import Patience
from ramferry.transport.address import Address, RelayAddress


class RelayTold(Protocol):
    """What is told of a relay's migrations, as ``RelayObserver`` is."""

    def progress(self, counters: RelayCounters) -> None:
        """See ``RelayObserver``."""

    def finished(self, result: RelayResult) -> None:
        """See ``RelayObserver``."""

    def note(self, text: str) -> None:
        """See ``RelayObserver``."""


class RelayPrinter:
    """A relay's observer: sentences go to the log; JSON lines to stdout and results to a file,
    where asked for.

    None of its readers can make the relay wait: progress that was not read gives way to the next.
    """

    def __init__(
        self,
        settings: RelaySettings,
        log: Log,
        *,
        events: bool,
        results: IO[str] | None,
        metrics: RelayTold | None = None,
    ) -> None:
        """:param metrics: is told too."""
        self._settings = settings
        self._log = log
        self._metrics = metrics
        # where a pipe broke, the loop watches it and ends the relay in the right order
        self._events = _writer(sys.stdout) if events else None
        self._file = "--json" if results is None else results.name
        self._results = _writer(results, self._unwritten) if results is not None else None

    def listening(self, address: Address) -> None:
        """See ``RelayObserver``."""
        self._emit("listening", {"uri": str(address)})
        if self._events is None:
            relayed = isinstance(address, RelayAddress)
            how = f" ({wrapping(self._settings, address)})" if relayed else ""
            self.note(f"listening on {address}{how}")

    def progress(self, counters: RelayCounters) -> None:
        """See ``RelayObserver``."""
        self._emit("progress", asdict(counters), passing=True)
        if self._metrics is not None:
            self._metrics.progress(counters)

    def failing(self, migration: str, error: str) -> None:
        """See ``RelayObserver``."""
        self._emit("failing", {"migration": migration, "error": error})

    def finished(self, result: RelayResult) -> None:
        """See ``RelayObserver``."""
        fields = asdict(result)
        fields["counters"]["ratio"] = result.counters.ratio
        self._emit("finished", fields)
        if self._results is not None:
            self._results.say(json.dumps(document("relay", fields)))
        if self._metrics is not None:
            self._metrics.finished(result)
        self._log.say(result_note(result, self._settings), result_fields(result))

    def note(self, text: str) -> None:
        """See ``RelayObserver``."""
        self._log.say(text)
        if self._metrics is not None:
            self._metrics.note(text)

    def close(self, patience: Patience) -> None:
        """Write what is queued, if anybody reads it; the log stays open."""
        for writer in (self._results, self._events):
            if writer is not None:
                writer.close(patience)

    def _unwritten(self, error: OSError) -> None:
        self.note(warning(f"the result could not be written to {self._file}: {error.strerror}"))

    def _emit(self, event: str, fields: dict[str, Any], *, passing: bool = False) -> None:
        if self._events is not None:
            self._events.say(json.dumps({"event": event, **fields}), passing=passing)


def _writer(
    stream: IO[str] | None, failed: Callable[[OSError], None] = lambda _: None
) -> LineWriter | None:
    """A writer for a stream; None if the caller closed it."""
    return None if stream is None else LineWriter(stream.fileno(), failed)
