"""Literal situations and what is foretold for them."""

import pytest

from ramferry.forecast.eta import MigrationSample, Outlook, outlook_of

MB = 1_000_000


def sample(
    seconds: float,
    carried: int,
    remaining: int,
    *,
    dirty: float = 0.0,
    wire: int | None = None,
    normal: int = 0,
    syncs: int = 1,
) -> MigrationSample:
    return MigrationSample(
        seconds,
        "active",
        syncs,
        2000 * MB,
        remaining,
        carried,
        normal,
        dirty,
        None,
        wire,
    )


def test_nothing_can_be_told_from_one_sample() -> None:
    assert outlook_of([sample(0, 0, 2000 * MB)], 300) == Outlook(0.0, None, None, None, True)


def test_the_first_pass_ends_when_all_is_sent() -> None:
    outlook = outlook_of([sample(0, 0, 2000 * MB), sample(1, 100 * MB, 1900 * MB)], 300)
    assert outlook.memory_rate == 100 * MB
    assert outlook.seconds_left == pytest.approx(19.0)


def test_a_guest_that_dirties_less_than_the_link_carries() -> None:
    """100 MB/s carried, 50 dirtied, 30 of the last 530 MB fit the downtime: 500 / 50 s."""
    past = sample(0, 0, 630 * MB, dirty=50 * MB)
    now = sample(1, 100 * MB, 530 * MB, dirty=50 * MB, syncs=2)
    outlook = outlook_of([past, now], 300)
    assert outlook.converges
    assert outlook.seconds_left == pytest.approx(10.3)


def test_a_guest_that_dirties_faster_than_the_link_carries() -> None:
    past = sample(0, 0, 600 * MB, dirty=120 * MB)
    now = sample(1, 95 * MB, 505 * MB, dirty=120 * MB, syncs=2)
    outlook = outlook_of([past, now], 300)
    assert not outlook.converges
    assert outlook.seconds_left is None


def test_what_fits_the_downtime_ends_however_fast_the_guest_dirties() -> None:
    past = sample(0, 0, 130 * MB, dirty=500 * MB)
    outlook = outlook_of([past, sample(1, 100 * MB, 30 * MB, dirty=500 * MB)], 300)
    assert outlook.converges
    assert outlook.seconds_left == pytest.approx(0.3)


def test_rates_forget_what_is_older_than_the_window() -> None:
    samples = [
        sample(0, 0, 0),
        sample(7, 70 * MB, 0),
        sample(8, 90 * MB, 0),
        sample(9, 130 * MB, 0),
    ]
    assert outlook_of(samples, 300).memory_rate == 30 * MB


def test_a_gap_longer_than_the_window_leaves_two_samples() -> None:
    assert outlook_of([sample(0, 0, 0), sample(10, 50 * MB, 0)], 300).memory_rate == 5 * MB


def test_wire_rate_and_ratio() -> None:
    past = sample(0, 0, 0, wire=10 * MB)
    outlook = outlook_of([past, sample(2, 90 * MB, 0, wire=40 * MB, normal=120 * MB)], 300)
    assert outlook.wire_rate == 15 * MB
    assert outlook.ratio == 3.0


def test_a_wire_counted_since_a_moment_ago_has_a_ratio_but_no_rate() -> None:
    outlook = outlook_of([sample(0, 0, 0), sample(1, MB, 0, wire=MB, normal=2 * MB)], 300)
    assert (outlook.wire_rate, outlook.ratio) == (None, 2.0)
