"""Socket buffers follow the drain rate, the share of a channel and the round trip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramferry.transport import budget


def test_all_channels_together_hold_the_queue_seconds_of_the_rate() -> None:
    rate = 30e6
    for channels in (1, 2, 8):
        total = channels * budget.socket_buffer(rate, channels, 0.0)
        assert total == pytest.approx(rate * budget.QUEUE_SECONDS, abs=channels)


def test_a_long_link_gets_twice_its_bytes_in_flight_on_top() -> None:
    near = budget.socket_buffer(100e6, 4, 0.0)
    far = budget.socket_buffer(100e6, 4, 0.010)
    assert far - near == pytest.approx(25e6 * 2 * 0.010, abs=1)


@given(
    rate=st.floats(0, 1e13),
    channels=st.integers(0, 255),
    rtt=st.floats(0, 1000),
)
def test_a_buffer_is_never_outside_its_bounds(rate: float, channels: int, rtt: float) -> None:
    size = budget.socket_buffer(rate, channels, rtt)
    assert budget.SMALLEST <= size <= budget.LARGEST


def test_a_slow_link_still_holds_two_segments() -> None:
    assert budget.socket_buffer(6e6, 8, 0.0, 65483) == 2 * 65483
    assert budget.socket_buffer(6e6, 8, 0.0, 1448) == budget.SMALLEST


def test_the_first_buffers_of_eight_channels_are_within_100_ms_of_a_gigabit() -> None:
    assert 8 * budget.INITIAL < 0.1 * 125e6
