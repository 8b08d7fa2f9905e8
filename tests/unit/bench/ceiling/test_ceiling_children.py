"""Processes of a run: what is said of those that end badly, and that all of them end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from ramferry.bench.ceiling.children import Children
from ramferry.errors import Cancelled, HostError

SLEEP = [sys.executable, "-S", "-c", "import time; print('here', flush=True); time.sleep(60)"]
FAIL = [sys.executable, "-S", "-c", "import sys; sys.exit('first\\nthe socket is gone.')"]
ECHO = [sys.executable, "-S", "-c", "import sys\nfor line in sys.stdin: print(line, flush=True)"]


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def test_one_that_is_killed(tmp_path: Path, stop: threading.Event) -> None:
    with Children(tmp_path, stop) as children:
        child = children.start("reader of channel 3", SLEEP)
        assert children.line(child, "a word") == "here"
        children.check()
        os.kill(child.process.pid, signal.SIGKILL)
        with pytest.raises(HostError, match=r"^the reader of channel 3 was killed by signal 9$"):
            children.wait(lambda: False, "nothing")


def test_one_that_fails_is_quoted(tmp_path: Path, stop: threading.Event) -> None:
    with Children(tmp_path, stop) as children:
        child = children.start("relay", FAIL)
        with pytest.raises(HostError, match=r"^the relay ended: the socket is gone$"):
            children.line(child, "a word")


def test_questions_and_answers(tmp_path: Path, stop: threading.Event) -> None:
    with Children(tmp_path, stop) as children:
        child = children.start("relay", ECHO)
        child.ask("one")
        assert [children.line(child, "it"), children.line(child, "it")] == ["one", ""]


def test_all_end_when_it_is_to_stop(tmp_path: Path, stop: threading.Event) -> None:
    with Children(tmp_path, stop) as children:
        started = [children.start(f"peer {number}", SLEEP) for number in range(3)]
        stop.set()
        with pytest.raises(Cancelled):
            children.pause(60)
    assert [child.process.returncode for child in started] == [-signal.SIGKILL] * 3


def test_a_program_that_is_not_there(tmp_path: Path, stop: threading.Event) -> None:
    with (
        Children(tmp_path, stop) as children,
        pytest.raises(HostError, match="cannot start the relay: No such file"),
    ):
        children.start("relay", ["/nonexistent/python"])


def test_it_looks_while_it_waits(tmp_path: Path, stop: threading.Event) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) > 1:
            stop.set()

    with Children(tmp_path, stop) as children, pytest.raises(Cancelled):
        children.pause(60, look, 0.001)
    assert len(looks) > 1
