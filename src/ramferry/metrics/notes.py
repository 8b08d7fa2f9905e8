"""Sentences for a person, with what they are about.

A :class:`Note` is a ``str``: whoever passes a sentence on, or only prints it, need not know more.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class Level(IntEnum):
    """How much a sentence matters; the values are syslog's (RFC 5424)."""

    ERROR = 3
    WARNING = 4
    INFO = 6


class Note(str):
    """A sentence, its level, and which migration it is of."""

    __slots__ = ("level", "migration", "refused", "state", "uuid")

    level: Level
    refused: bool
    """Whether it tells of a connection or a migration that was refused."""
    migration: str
    """The migration's id; empty if it is of none."""
    uuid: str
    """The guest's UUID; empty if it is not known."""
    state: str
    """How far the migration was, one of ``metrics.states.STATES``; empty if it is of none."""

    def __new__(
        cls,
        text: str,
        level: Level = Level.INFO,
        *,
        refused: bool = False,
        migration: str = "",
        uuid: str = "",
        state: str = "",
    ) -> Self:
        note = super().__new__(cls, text)
        note.level, note.refused = level, refused
        note.migration, note.uuid, note.state = migration, uuid, state
        return note

    def behind(self, words: str) -> Self:
        """The same note with ``words`` before its text."""
        return type(self)(
            f"{words}{self}",
            self.level,
            refused=self.refused,
            migration=self.migration,
            uuid=self.uuid,
            state=self.state,
        )


def warning(text: str) -> Note:
    """A note at which a person should look."""
    return Note(text, Level.WARNING)


def refusal(text: str) -> Note:
    """A note on a connection or a migration that was refused."""
    return Note(text, Level.WARNING, refused=True)


def of_migration(text: str, migration: str, uuid: str, state: str) -> Note:
    """The same sentence, as that of a migration."""
    level, refused = (text.level, text.refused) if isinstance(text, Note) else (Level.INFO, False)
    return Note(text, level, refused=refused, migration=migration, uuid=uuid, state=state)


def as_note(text: str) -> Note:
    """A sentence as a note: itself if it is one."""
    return text if isinstance(text, Note) else Note(text)
