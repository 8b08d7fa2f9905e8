"""The codecs that do nothing, or take their time without the GIL."""

from __future__ import annotations

import sys
import threading

import pytest

from ramferry.bench.ceiling import idle
from ramferry.codec import METHODS, create_decoder, create_encoder
from ramferry.codec.table import replace_codecs

PAGES = memoryview(bytes(range(256)) * 48)


def test_they_touch_no_page() -> None:
    work = idle.Work(0)
    assert work.rounds == 0
    (part,) = idle.IdleEncoder(work).encode(PAGES)
    assert part == PAGES[:4096]
    out = bytearray(b"as it was")
    idle.IdleDecoder(work).decode(memoryview(b"payload"), memoryview(out))
    assert out == b"as it was"


@pytest.mark.parametrize(
    ("micros", "rounds"), [(400, 1 + 398), (2, 1), (0.5, 1), (4001, 1 + 3999), (40_002, 40_001)]
)
def test_rounds_of_a_microsecond_each(micros: float, rounds: int) -> None:
    """A call takes 2 µs, and 1 µs more for each round after the first."""
    one = 2e-6
    assert idle.rounds_for(micros, one, one + (idle._PROBE - 1) * 1e-6) == rounds


def test_more_time_is_more_rounds() -> None:
    assert 0 < idle.Work(10).rounds < idle.Work(10_000).rounds


def test_their_time_is_without_the_gil() -> None:
    """This thread gets the GIL from one that only works, though nothing takes it from that one."""
    work = idle.Work(1000)
    seen, given = threading.Event(), threading.Event()

    def toil() -> None:
        given.set()
        for _ in range(100_000):
            work.do()
            if seen.is_set():
                return

    before = sys.getswitchinterval()
    sys.setswitchinterval(100)
    try:
        thread = threading.Thread(target=toil, daemon=True)
        thread.start()
        given.wait()
        assert thread.is_alive()
        seen.set()
        thread.join(30)
    finally:
        sys.setswitchinterval(before)
    assert not thread.is_alive()


def test_they_stand_for_a_method_in_this_process() -> None:
    own = METHODS["qatzip"]
    idle.put_in("qatzip", 0)
    try:
        assert isinstance(create_encoder("qatzip", 9), idle.IdleEncoder)
        assert isinstance(create_decoder("qatzip"), idle.IdleDecoder)
        assert METHODS["qatzip"].flag == own.flag
    finally:
        replace_codecs("qatzip", own.encoder, own.decoder)
    assert create_encoder("qatzip", 9).backend != "idle"
