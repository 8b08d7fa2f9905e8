"""What a method makes of a sample, and how sure that is."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from leftovers import no_thread_left
from ramferry.bench.fill import fill
from ramferry.codec import METHODS
from ramferry.forecast.sampling import MemorySample, draw
from ramferry.forecast.trial import company, quotient, try_method

MIB = 1 << 20


@pytest.fixture(scope="module")
def sample() -> MemorySample:
    ram = np.zeros(4 * MIB, np.uint8)
    fill(ram, low=0)
    return draw("x", ram.nbytes, lambda at, size: ram[at : at + size].tobytes())


@pytest.mark.parametrize("method", [name for name in METHODS if name != "none"])
def test_ratio_and_speed_are_measured(sample: MemorySample, method: str) -> None:
    trial = try_method(sample, method)
    assert trial.packets == -(-sample.content.nbytes // (512 * 1024))
    assert 2.2 < trial.ratio < 3.5
    assert trial.wire_share.low == trial.wire_share.high  # all of the memory was seen
    assert 0 < trial.compress_seconds.expected < 1e-6
    assert 0 < trial.decompress_seconds.expected < 1e-6
    assert trial.level == (None if method in ("qpl", "uadk") else 1)


@pytest.mark.parametrize("method", ["zstd", "qatzip"])
def test_others_at_the_same_work_change_no_ratio(sample: MemorySample, method: str) -> None:
    with no_thread_left():
        alone, among = try_method(sample, method), try_method(sample, method, cores=3)
    assert (among.packets, among.wire_share) == (alone.packets, alone.wire_share)
    assert among.compress_cpu > 0


def test_members_are_cut_as_asked(sample: MemorySample) -> None:
    shares = [
        try_method(sample, "qatzip", member_size=size).wire_share.expected
        for size in ("auto", "64K", "packet")
    ]
    assert shares[0] == pytest.approx(shares[1], rel=0.002)  # ISA-L: not the same bytes twice
    assert shares[2] != pytest.approx(shares[0], rel=0.005)


def test_company_works_meanwhile_and_ends_whatever_happens() -> None:
    begun = threading.Barrier(4, timeout=10)

    def work(stop: threading.Event) -> None:
        begun.wait()
        assert stop.wait(10)

    def interrupted() -> None:
        with company(work, 3):
            begun.wait()
            raise KeyboardInterrupt

    with no_thread_left(), pytest.raises(KeyboardInterrupt):
        interrupted()


def test_none_is_free(sample: MemorySample) -> None:
    trial = try_method(sample, "none")
    assert (trial.ratio, trial.compress_cpu, trial.decompress_cpu) == (1.0, 0.0, 0.0)


def test_a_quotient_is_that_of_the_sums() -> None:
    found = quotient(np.array([1.0, 3.0]), np.array([4.0, 4.0]), unseen=1.0)
    # r = 0.5, residuals -1 and 1: s² = 2 / 1 / 2 = 1, over a mean of 4: 0.25
    assert (found.low, found.expected, found.high) == (0.0, 0.5, 1.0)
    assert quotient(np.array([1.0, 3.0]), np.array([4.0, 4.0]), unseen=0.0).high == 0.5
    assert quotient(np.array([1.0]), np.array([4.0]), unseen=1.0).low == 0.25


def test_a_quotients_range_holds_the_truth() -> None:
    rng = np.random.default_rng(5)
    pages = np.full(4000, 512.0)
    payload = pages * rng.gamma(4, 0.08, len(pages))
    truth, inside = payload.sum() / pages.sum(), 0
    for _ in range(200):
        drawn = rng.choice(len(pages), 120, replace=False)
        found = quotient(payload[drawn], pages[drawn], unseen=1 - 120 / 4000)
        inside += found.low <= truth <= found.high
    assert 180 <= inside <= 200
