"""Numbers as they are printed."""

import pytest

from ramferry.units import bit_rate, duration, memory, rate


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.0 MB/s"), (9.94e6, "9.9 MB/s"), (118.2e6, "118 MB/s")]
)
def test_rate(value: float, text: str) -> None:
    assert rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.5e6, "100 Mbit/s"), (312.5e6, "2.5 Gbit/s"), (125, "0.001 Mbit/s")],
)
def test_bit_rate(value: float, text: str) -> None:
    assert bit_rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(512, "0 KiB"), (4096, "4 KiB"), (412 << 20, "412 MiB"), (3 << 29, "1.5 GiB")],
)
def test_memory(value: int, text: str) -> None:
    assert memory(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7, "1 s"),
        (12.4, "12 s"),
        (59.7, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_duration(value: float, text: str) -> None:
    assert duration(value) == text
