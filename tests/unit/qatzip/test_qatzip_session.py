"""Sessions: the backend of every level, buffers in and out, and the GIL."""

from __future__ import annotations

import random
import struct
import sys
import threading
import time
from array import array
from collections.abc import Callable

import numpy as np
import pytest

from ramferry.errors import UsageError
from ramferry.native import libdeflate
from ramferry.qatzip import LEVELS, Session, compress, decompress
from ramferry.qatzip.base import Backend
from ramferry.qatzip.software import SoftwareBackend

TEXT = b"".join(b"page %d of the guest's memory; " % number for number in range(10_000))
NOISE = random.Random(1).randbytes(300_000)


def test_backend_of_every_level() -> None:
    backends = {level: compress(TEXT, level).backend for level in LEVELS}
    assert backends == dict.fromkeys((1, 2, 3), "isa-l") | dict.fromkeys(range(4, 10), "libdeflate")
    assert {level: Session(level).backend for level in LEVELS} == backends


@pytest.mark.parametrize(
    ("size", "backend"),
    [(0, "zlib"), (63, "zlib"), (64, "isa-l"), (65536 + 63, "isa-l + zlib"), (65536 + 64, "isa-l")],
)
def test_every_backend_that_ran_is_named(size: int, backend: str) -> None:
    session = Session()
    assert session.compress(NOISE).backend == "isa-l"
    assert session.compress(TEXT[:size]).backend == backend


def test_what_decompresses_is_named() -> None:
    assert decompress(compress(TEXT, 9).data).backend == "isa-l"


def test_higher_levels_are_smaller() -> None:
    sizes = [len(compress(TEXT, level).data) for level in (1, 4, 9)]
    assert sizes == sorted(set(sizes), reverse=True)


def test_levels_above_3_map_to_libdeflates(monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[int] = []
    original = libdeflate.Deflate

    def spied(level: int) -> libdeflate.Deflate:
        levels.append(level)
        return original(level)

    monkeypatch.setattr(libdeflate, "Deflate", spied)
    for level in LEVELS:
        assert decompress(compress(TEXT[:65536], level).data).data == TEXT[:65536]
    assert levels == [4, 5, 7, 7, 8, 9]


@pytest.mark.parametrize("level", LEVELS)
def test_incompressible_data_hardly_grows(level: int) -> None:
    """A 512 KiB packet of noise stays far below QEMU's receive buffer of 1 MiB."""
    for format, limit in (("gzip-ext", 0.002), ("raw", 0.002), ("4B", 0.002)):
        assert len(compress(NOISE, level, format=format).data) <= len(NOISE) * (1 + limit)


def test_members_stand_side_by_side_in_one_part() -> None:
    data = memoryview(TEXT)[:150_000]
    session = Session()
    (part,) = session.compress_parts(data)
    at, sizes = 0, []
    while at < len(part):
        src, dest = struct.unpack_from("<II", part, at + 16)
        sizes.append(src)
        at += 24 + dest + 8
    assert sizes == [65536, 65536, 18928]
    assert decompress(part).data == data


@pytest.mark.parametrize("level", [1, 6])
def test_the_output_grows_as_far_as_many_small_members_need(level: int) -> None:
    session = Session(level, member_size=100)
    assert decompress(session.compress(NOISE[:50_000]).data).data == NOISE[:50_000]
    assert decompress(session.compress(TEXT[:150_000]).data).data == TEXT[:150_000]


def test_a_call_does_not_depend_on_the_one_before() -> None:
    """At level 6: ISA-L does not promise the same bytes twice."""
    session = Session(6)
    first = b"".join(session.compress_parts(memoryview(TEXT)))
    assert decompress(b"".join(session.compress_parts(memoryview(NOISE)))).data == NOISE
    assert b"".join(session.compress_parts(memoryview(TEXT))) == first == compress(TEXT, 6).data


def test_decompress_into_uses_the_callers_buffer() -> None:
    payload = memoryview(compress(TEXT).data)
    memory = bytearray(b"#" * (len(TEXT) + 20))
    Session().decompress_into(payload, memoryview(memory)[10:-10])
    assert memory[10:-10] == TEXT
    assert memory[:10] == memory[-10:] == b"#" * 10


@pytest.mark.parametrize(
    "buffer",
    [bytearray(TEXT), memoryview(TEXT), np.frombuffer(TEXT, np.uint8), array("B", TEXT)],
    ids=["bytearray", "memoryview", "numpy", "array"],
)
def test_any_contiguous_buffer(buffer: object) -> None:
    assert decompress(compress(buffer).data).data == TEXT
    assert decompress(bytearray(compress(buffer).data)).data == TEXT


def test_wide_items_and_empty_shapes() -> None:
    words = np.arange(1000, dtype=np.uint64).reshape(10, 100)
    assert decompress(compress(words).data).data == words.tobytes()
    assert compress(np.empty((0, 4096))).data == compress(b"").data


def test_what_is_no_buffer() -> None:
    with pytest.raises(UsageError, match="a buffer of bytes, not str"):
        compress("text")
    with pytest.raises(UsageError, match="contiguous"):
        compress(np.zeros(100, np.uint8)[::2])


def test_software_is_a_backend() -> None:
    backend: Backend = SoftwareBackend(1, "gzip-ext", 65536)
    assert (backend.name, backend.used) == ("isa-l", "")


def _share_of_the_call_that_others_run(call: Callable[[], object]) -> float:
    """Run ``call`` in a thread that yields the GIL only by itself; measure this one meanwhile."""
    times: list[float] = []
    ready = threading.Event()

    def work() -> None:
        ready.set()
        times.append(time.perf_counter())
        call()
        times.append(time.perf_counter())

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    seen = [time.perf_counter()]
    while len(times) < 2:
        seen.append(time.perf_counter())
        time.sleep(0)
    thread.join()
    return (max(time for time in seen if time < times[1]) - times[0]) / (times[1] - times[0])


@pytest.mark.parametrize("call", ["level 1", "level 6", "into, exact", "into, strict", "whole"])
def test_the_gil_is_released(call: str) -> None:
    """Where it were held, no other thread would run between the call's first and last moment.

    On a busy machine another thread may not run although it could: some attempt will see it.
    """
    data = memoryview(TEXT * 80)
    out = memoryview(bytearray(len(data)))
    one = Session(member_size=len(data))
    exact = memoryview(one.compress(data).data)
    strict = memoryview(Session(format="gzip", member_size=len(data)).compress(data).data)
    calls: dict[str, Callable[[], object]] = {
        "level 1": lambda: one.compress_parts(data),
        "level 6": lambda: Session(6, member_size=len(data)).compress_parts(data[:8_000_000]),
        "into, exact": lambda: one.decompress_into(exact, out),
        "into, strict": lambda: one.decompress_into(strict, out),
        "whole": lambda: one.decompress(exact),
    }
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        attempts = (_share_of_the_call_that_others_run(calls[call]) for _ in range(100))
        assert any(share > 0.1 for share in attempts)
    finally:
        sys.setswitchinterval(before)
