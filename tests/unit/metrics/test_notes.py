"""Notes: sentences that know what they are about, and are nothing but sentences to all others."""

from __future__ import annotations

import re
from pathlib import Path

from ramferry.metrics.notes import Level, Note, as_note, of_migration, refusal, warning

SOURCES = Path(__file__).resolve().parents[3] / "src" / "ramferry"


def test_a_note_is_its_sentence() -> None:
    note = Note("said")
    assert note == "said"
    assert f"{note}!" == "said!"
    assert (note.level, note.refused, note.migration, note.uuid, note.state) == (
        Level.INFO,
        False,
        "",
        "",
        "",
    )


def test_a_migrations_note_keeps_its_level() -> None:
    for text, level, refused in (
        ("plain", Level.INFO, False),
        (warning("look"), Level.WARNING, False),
        (refusal("refused it"), Level.WARNING, True),
    ):
        note = of_migration(text, "0badcafe", "u", "carrying")
        assert (str(note), note.level, note.refused) == (text, level, refused)
        assert (note.migration, note.uuid, note.state) == ("0badcafe", "u", "carrying")


def test_levels_are_syslogs() -> None:
    assert [int(one) for one in (Level.ERROR, Level.WARNING, Level.INFO)] == [3, 4, 6]


def test_as_note_leaves_a_note_alone() -> None:
    note = refusal("refused it")
    assert as_note(note) is note
    assert as_note("plain") == Note("plain")


def test_every_refusal_in_a_flow_is_noted_as_one() -> None:
    """Else it would be missing among those that are counted."""
    plain = re.compile(r"\bnote\(\s*f?\"refused")
    files = [*(SOURCES / "flows").rglob("*.py"), *(SOURCES / "transport").rglob("*.py")]
    assert len(files) > 20
    assert not [str(path) for path in files if plain.search(path.read_text())]
