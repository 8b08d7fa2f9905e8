"""Whether a GIL is held is seen from outside its process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ramferry.bench.ceiling import gil

CHILD = """
import sys, time
from ramferry.bench.ceiling.gil import find
print(find(), flush=True)
for line in sys.stdin:
    if line == "hold\\n":
        while True: pass
    time.sleep(60)
"""


@contextmanager
def child() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that does what it is told, and the address that it found."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize(("word", "held"), [("hold", True), ("sleep", False)])
def test_who_computes_holds_it_and_who_sleeps_does_not(word: str, *, held: bool) -> None:
    with child() as (process, address):
        assert process.stdin is not None
        process.stdin.write(f"{word}\n")
        process.stdin.flush()
        look = gil.looker(process.pid, address)
        deadline = time.monotonic() + 30
        in_a_row = 0
        while in_a_row < 20:
            assert time.monotonic() < deadline
            in_a_row = in_a_row + 1 if look() is held else 0
            time.sleep(0.002)


def test_a_process_that_has_ended_cannot_be_looked_at() -> None:
    with child() as (process, address):
        look = gil.looker(process.pid, address)
        assert look() is not None
        process.kill()
        process.wait()
        assert look() is None


def test_a_call_that_releases_it_is_seen_to() -> None:
    """The look is such a call. In a process without other threads, which this one may have."""
    code = (
        "import os; from ramferry.bench.ceiling import gil;"
        "print(gil.looker(os.getpid(), gil.find())())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
