"""systemd's journal: its datagrams byte by byte, and what is done where nobody takes them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ramferry.cli.logs.entry import Entry
from ramferry.cli.logs.journal import JournalLine, JournalWriter, datagram, fields_of, is_journal
from ramferry.metrics.notes import of_migration, refusal
from ramferry.patience import Patience

SETTLE = 30.0


def test_fields_in_one_line_are_these_bytes() -> None:
    assert datagram({"MESSAGE": "é = 1", "PRIORITY": "6"}) == b"MESSAGE=\xc3\xa9 = 1\nPRIORITY=6\n"


def test_a_value_of_several_lines_has_its_length_before_it() -> None:
    assert datagram({"MESSAGE": "two\nlines\n", "A": ""}) == (
        b"MESSAGE\n\x0a\x00\x00\x00\x00\x00\x00\x00two\nlines\n\nA=\n"
    )


def test_a_lone_surrogate_is_written_as_an_escape() -> None:
    assert datagram({"MESSAGE": "\udcff"}) == b"MESSAGE=\\udcff\n"


def test_an_entrys_fields() -> None:
    note = of_migration(refusal("refused it"), "0badcafe", "", "gathering")
    assert fields_of(Entry(note, 0.0, {"exit_code": 5, "ratio": 2.5}), "refused it") == {
        "MESSAGE": "refused it",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "ramferry",
        "RAMFERRY_MIGRATION": "0badcafe",
        "RAMFERRY_STATE": "gathering",
        "RAMFERRY_EXIT_CODE": "5",
        "RAMFERRY_RATIO": "2.5",
    }


def test_the_journals_stream_is_known_by_device_and_inode(tmp_path: Path) -> None:
    with open(tmp_path / "stream", "wb") as stream, open(tmp_path / "other", "wb") as other:
        found = os.fstat(stream.fileno())
        told = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_journal(stream.fileno(), told)
        assert not is_journal(other.fileno(), told)
        assert not is_journal(stream.fileno(), {})
        for nonsense in ("", ":", f"{found.st_dev}", f"{found.st_ino}:{found.st_dev}"):
            assert not is_journal(stream.fileno(), {"JOURNAL_STREAM": nonsense})
    assert not is_journal(99999, told)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SETTLE)
        sock.bind(str(tmp_path / "journal"))
        yield sock


def written(path: Path, *lines: str, journal: Path) -> str:
    """What a writer wrote to its descriptor for these lines."""
    with open(path, "wb") as file:
        writer = JournalWriter(file.fileno())
        writer.path = str(journal)
        for line in lines:
            writer.put(line)
        writer.close(Patience(SETTLE))
    return path.read_text()


def test_a_line_goes_to_the_journal_and_not_to_the_descriptor(
    journal: socket.socket, tmp_path: Path
) -> None:
    line = JournalLine("ramferry relay: said\n", b"MESSAGE=said\n")
    assert written(tmp_path / "out", line, journal=tmp_path / "journal") == ""
    assert journal.recv(100) == b"MESSAGE=said\n"


def test_without_a_journal_nothing_is_lost(tmp_path: Path) -> None:
    lines = [JournalLine(f"line {n}\n", b"MESSAGE=\n") for n in range(3)]
    assert (
        written(tmp_path / "out", *lines, journal=tmp_path / "none") == "line 0\nline 1\nline 2\n"
    )


def test_what_the_journal_does_not_take_is_written_in_its_turn(
    journal: socket.socket, tmp_path: Path
) -> None:
    lines = [
        JournalLine("first\n", b"MESSAGE=first\n"),
        JournalLine("too long\n", b"x" * (1 << 24)),
        JournalLine("last\n", b"MESSAGE=last\n"),
        "no datagram\n",
    ]
    out = written(tmp_path / "out", *lines, journal=tmp_path / "journal")
    assert out == "too long\nno datagram\n"
    assert [journal.recv(100) for _ in range(2)] == [b"MESSAGE=first\n", b"MESSAGE=last\n"]
