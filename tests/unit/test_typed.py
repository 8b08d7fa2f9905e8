"""Types that several threads ask msgspec for at one time."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from ramferry.typed import convert, decode, decoder

THREADS = """
import sys, threading
from dataclasses import make_dataclass
from ramferry import typed

THREADS = 4
sys.setswitchinterval(1e-6)

def at_one_time(work):
    ready = threading.Barrier(THREADS)
    def run():
        ready.wait()
        work()
    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

for _ in range(200):
    inner = make_dataclass("Inner", [(f"field_{n}", "int", 0) for n in range(30)])
    outer = make_dataclass("Outer", [("inner", inner), ("inners", list[inner])])
    at_one_time(lambda: typed.USED)
"""


@pytest.mark.parametrize(
    "used",
    [
        'decode(b\'{"inner":{},"inners":[{}]}\', outer)',
        "convert({'inner': {}, 'inners': []}, outer)",
    ],
)
def test_threads_that_first_see_a_type_at_one_time(used: str) -> None:
    """By msgspec alone each of these dies of SIGSEGV, since one thread takes what another one has
    not yet found out about the type."""
    script = THREADS.replace("USED", used)
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_type_has_one_decoder() -> None:
    assert decoder(list[int]) is decoder(list[int])
    assert decode("[1, 2]", list[int]) == [1, 2]
    assert decode(b'{"a": null}') == {"a": None}


def test_what_is_not_of_the_type() -> None:
    for wrong in (b"[1", b'["a"]', b"["):
        with pytest.raises(msgspec.DecodeError):
            decode(wrong, list[int])
    with pytest.raises(UnicodeDecodeError):
        decode(b'["\xff"]', list[str])
    with pytest.raises(msgspec.ValidationError, match=r"at `\$\[1\]`"):
        convert([1, "a"], list[int])


def test_types_that_msgspec_does_not_know() -> None:
    assert convert(["12"], list[complex], lambda kind, value: kind(value)) == [12]
