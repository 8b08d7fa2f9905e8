"""Lines for a reader who may not read: nobody waits for it, and what passes gives way."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes_relay import until
from ramferry.cli import line_writer as module
from ramferry.cli.line_writer import LineWriter
from ramferry.patience import Patience


class Pipe:
    """A pipe of one page, and a writer into it."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 4096)
        self.writer = LineWriter(self.write_end, lost=lambda count: f"{count} lost")

    def fill(self) -> None:
        """Leave no room for a line."""
        os.set_blocking(self.write_end, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.write_end, b"." * 4095 + b"\n")
        os.set_blocking(self.write_end, True)

    def lines(self, count: int) -> list[str]:
        """The next lines, without what filled it."""
        data = b""
        while data.count(b"\n") <= count:
            data += os.read(self.read_end, 4096)
        return data.decode().splitlines()[1 : count + 1]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.read_end)
    pipe.writer.close(Patience(5))
    until(lambda: not [one for one in threading.enumerate() if one.name == "line writer"])
    os.close(pipe.write_end)


def test_lines_come_in_the_order_in_which_they_were_said(tmp_path: Path) -> None:
    with open(tmp_path / "lines", "w") as file:
        writer = LineWriter(file.fileno())
        for number in range(200):
            writer.say(f"line {number} \udcff")
        writer.close(Patience(5))
    lines = (tmp_path / "lines").read_text().splitlines()
    assert lines == [f"line {number} \\udcff" for number in range(200)]


def test_nobody_waits_for_a_reader_who_does_not_read(pipe: Pipe) -> None:
    pipe.fill()
    begun = time.monotonic()
    pipe.writer.say("the first is under way")
    until(lambda: not pipe.writer._lines)
    for number in range(100):
        pipe.writer.say(f"progress {number}", passing=True)
    pipe.writer.say("finished")
    for number in range(100, 200):
        pipe.writer.say(f"progress {number}", passing=True)
    assert time.monotonic() - begun < 5
    assert pipe.lines(4) == ["the first is under way", "progress 99", "finished", "progress 199"]


def test_what_nobody_read_in_time_is_counted(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LINES", 3)
    pipe.fill()
    pipe.writer.say("the first is under way")
    until(lambda: not pipe.writer._lines)
    for number in range(10):
        pipe.writer.say(f"{number}")
    assert pipe.lines(5) == ["the first is under way", "7 lost", "7", "8", "9"]


def test_the_end_waits_for_a_reader_for_so_long_only(pipe: Pipe) -> None:
    pipe.fill()
    pipe.writer.say("unread")
    begun = time.monotonic()
    pipe.writer.close(Patience(0.3))
    assert 0.25 < time.monotonic() - begun < 5
    pipe.writer.say("too late")


def test_a_descriptor_that_does_not_block_is_waited_for_all_the_same(pipe: Pipe) -> None:
    pipe.fill()
    os.set_blocking(pipe.write_end, False)
    pipe.writer.say("whole " * 2000)
    assert pipe.lines(1) == ["whole " * 2000]


def test_a_reader_that_went_away_is_told_of_once() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    failures: list[OSError] = []
    writer = LineWriter(write_end, failures.append)
    writer.say("unread")
    until(lambda: bool(failures))
    writer.say("unread")
    writer.close(Patience(5))
    assert [error.errno for error in failures] == [errno.EPIPE]
    os.close(write_end)


def test_what_cannot_be_written_any_more_goes_elsewhere() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    elsewhere: list[str] = []
    writer = LineWriter(writing, instead=elsewhere.append)
    writer.say("first")
    until(lambda: elsewhere == ["first\n"])
    writer.say("then")
    assert elsewhere == ["first\n", "then\n"]
    writer.close(Patience(10))
    os.close(writing)
