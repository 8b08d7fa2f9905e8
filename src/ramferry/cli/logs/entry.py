"""One sentence of a log with what belongs to it, as text and as a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from ramferry.metrics.notes import Note
from ramferry.standard import shown

TEXT, JSON = "text", "json"
LOG_FORMATS: Final = (TEXT, JSON)


@dataclass(frozen=True, slots=True)
class Entry:
    """A sentence that was said."""

    note: Note
    at: float
    """Seconds since 1970."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further fields: those of a migration's result."""

    @property
    def message(self) -> str:
        """The sentence in one line, without what acts on a terminal."""
        return shown(self.note)

    @property
    def fields(self) -> dict[str, Any]:
        """What is known of it, without the sentence, its time and its level; nothing is empty."""
        note = self.note
        about = {"migration": note.migration, "uuid": note.uuid, "state": note.state}
        return {name: at for name, at in {**about, **self.more}.items() if at not in ("", None)}


def text_line(entry: Entry, command: str) -> str:
    """A line for a person: ``ramferry relay: …``."""
    return f"{command}: {entry.message}\n"


def json_line(entry: Entry) -> str:
    """A line for a program: an object with ``time`` (RFC 3339, in UTC), ``level``, ``message``, and
    :attr:`Entry.fields`."""
    at = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="microseconds")
    head = {
        "time": at.replace("+00:00", "Z"),
        "level": entry.note.level.name.lower(),
        "message": entry.message,
    }
    return json.dumps({**head, **entry.fields}, ensure_ascii=False) + "\n"
