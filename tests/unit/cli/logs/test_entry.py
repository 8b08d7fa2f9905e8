"""A sentence as a line of text, and as one of JSON."""

from __future__ import annotations

import json
from datetime import datetime

from ramferry.cli.logs.entry import Entry, json_line, text_line
from ramferry.metrics.notes import Level, Note, of_migration, warning

AT = 1795914000.5
UUID = "11111111-2222-3333-4444-555555555555"


def test_a_line_of_json_is_these_bytes() -> None:
    note = of_migration(warning("stalled"), "0badcafe", UUID, "carrying")
    assert json_line(Entry(note, AT, {"exit_code": 0, "seconds": 1.5})).encode() == (
        b'{"time": "2026-11-29T01:00:00.500000Z", "level": "warning", "message": "stalled", '
        b'"migration": "0badcafe", "uuid": "11111111-2222-3333-4444-555555555555", '
        b'"state": "carrying", "exit_code": 0, "seconds": 1.5}\n'
    )


def test_what_is_not_known_is_left_out() -> None:
    read = json.loads(json_line(Entry(Note("listening"), 0.0, {"downtime_seconds": None})))
    assert read == {
        "time": "1970-01-01T00:00:00.000000Z",
        "level": "info",
        "message": "listening",
    }
    assert datetime.fromisoformat(read["time"]).timestamp() == 0


def test_a_peers_words_stay_in_one_line_and_obey_nothing() -> None:
    entry = Entry(Note("it said \x1b[2J\r\nforged: é\u202e\udcff", Level.ERROR), AT)
    assert text_line(entry, "ramferry relay") == (
        "ramferry relay: it said \\x1b[2J\\r\\nforged: é\\u202e\\udcff\n"
    )
    line = json_line(entry)
    assert line.count("\n") == 1
    assert json.loads(line)["message"] == "it said \\x1b[2J\\r\\nforged: é\\u202e\\udcff"
