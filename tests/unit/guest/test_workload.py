"""What the built-in guest writes can be checked, page by page."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramferry.errors import RemoteProtocolError, UsageError
from ramferry.guest.state import GuestState, decode, encode
from ramferry.guest.workload import PATTERNS, Pattern, Workload

PAGES = 64


def written(work: Workload, counter: int, steps: int = 7) -> np.ndarray:
    pages = np.full((PAGES, 4096), 0x5A, np.uint8)
    done = 0
    while done < counter:
        count = min(steps, counter - done)
        work.write(pages, done, count)
        done += count
    return pages


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("changed", [16, 24, 4096])
def test_every_write_can_be_checked_and_a_lost_one_is_found(pattern: Pattern, changed: int) -> None:
    work = Workload(1.0, pattern, changed)
    pages = written(work, 500)
    assert not len(work.bad_pages(pages, 500))
    assert (pages[:, changed:] == 0x5A).all(), "the rest of a page stays what it was"
    last = int(work.rows(499, 1, PAGES)[0])
    older = written(work, 499)
    assert work.bad_pages(older, 500).tolist() == [last]
    pages[last, changed - 1] ^= 1
    assert work.bad_pages(pages, 500).tolist() == [last]


@given(st.integers(0, 300), st.integers(1, 100), st.sampled_from(PATTERNS))
def test_how_writes_are_grouped_makes_no_difference(
    counter: int, steps: int, pattern: Pattern
) -> None:
    work = Workload(1.0, pattern)
    assert np.array_equal(written(work, counter, steps), written(work, counter, 1))


def test_the_hot_set_gets_nine_writes_in_ten() -> None:
    rows = Workload(1.0, "hot-set").rows(0, 10_000, 1000)
    assert 0.88 < (rows < 100).mean() < 0.94
    assert rows.max() > 900


@pytest.mark.parametrize(
    "wrong",
    [{"rate": -1.0}, {"pattern": "odd"}, {"changed": 8}, {"changed": 17}, {"changed": 5000}],
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Workload(**wrong)  # type: ignore[arg-type]


STATE = GuestState(0x0102030405060708, Workload(1e6, "random", 256), True)
SECTION = bytes.fromhex(
    "04 00000003 11 72616d66657272792f776f726b6c6f6164 00000000 00000001"
    "0102030405060708 00000000000f4240 00000100 01 01 0000 7e 00000003 00 06"
)


def test_the_states_bytes() -> None:
    tail = encode(STATE, 4096)
    assert tail.startswith(SECTION)
    assert decode(tail) == STATE


@pytest.mark.parametrize("place", [0, 5, 8, 24, 30, 31, 51, 55])
def test_another_devices_state_is_refused(place: int) -> None:
    tail = bytearray(encode(STATE, 4096))
    tail[place] ^= 0x40
    if place == 31:  # the counter: any will do
        assert decode(bytes(tail)) != STATE
        return
    with pytest.raises(RemoteProtocolError, match="main: expected"):
        decode(bytes(tail))


def test_a_cut_state_is_refused() -> None:
    for size in range(len(SECTION) - 2):
        with pytest.raises(RemoteProtocolError):
            decode(encode(STATE, 4096)[:size])
