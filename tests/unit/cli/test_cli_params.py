"""Rates and sizes as people write them."""

import click
import pytest

from ramferry.cli.params import RATE, SIZE, Level, Seconds, level_of


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("125M", 125e6),
        ("1Gbit", 125e6),
        ("1gbit/s", 125e6),
        ("64Mi", 64 * 2**20),
        ("0", 0.0),
        ("1.5k", 1500.0),
    ],
)
def test_rate(text: str, rate: float) -> None:
    assert RATE.convert(text, None, None) == rate


@pytest.mark.parametrize("text", ["", "fast", "-1", "1T", "inf", "M"])
def test_no_rate(text: str) -> None:
    with pytest.raises(click.BadParameter):
        RATE.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512M", 512 << 20),
        ("2G", 2 << 30),
        ("1.5GiB", 3 << 29),
        ("256", 256 << 20),
        ("8mb", 8 << 20),
    ],
)
def test_size(text: str, size: int) -> None:
    assert SIZE.convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "0", "1K", "0.1M", "-1G", "infG", "nanM", "G"])
def test_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter):
        SIZE.convert(text, None, None)


def test_seconds() -> None:
    assert Seconds(min=0.1).convert("2.5", None, None) == 2.5


@pytest.mark.parametrize("text", ["", "0.05", "-1", "nan", "inf", "soon"])
def test_no_seconds(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Seconds(min=0.1).convert(text, None, None)


def test_a_level_is_a_number_or_auto_where_a_relay_may_choose() -> None:
    assert [level_of(Level(auto=True).convert(text, None, None)) for text in ("3", "auto")] == [
        (3, False),
        (None, True),
    ]
    assert level_of(None) == (None, False)
    assert Level(auto=False).convert("-7", None, None) == -7


@pytest.mark.parametrize(
    ("auto", "text", "sentence"),
    [
        (True, "fast", "'fast' is neither a number nor auto"),
        (False, "1.5", "'1.5' is no number"),
        (False, "auto", "auto is for `ramferry relay` and `ramferry migrate`"),
    ],
)
def test_no_level(text: str, sentence: str, *, auto: bool) -> None:
    with pytest.raises(click.BadParameter, match=sentence):
        Level(auto=auto).convert(text, None, None)
