"""Numbers at the human monitor, with what QEMU 10.0.13 makes of them."""

from __future__ import annotations

import pytest

from ramferry.guest import numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1 << 20),
        ("0", 0),
        ("+5", 5 << 20),
        ("010", 10 << 20),
        ("0x10", 16 << 20),
        ("0X1f", 31 << 20),
        ("1b", 1),
        ("1k", 1024),
        ("1.5k", 1536),
        ("1.0001K", 1024),
        ("1.5", 3 << 19),
        ("1.", 1 << 20),
        (".5G", 1 << 29),
        ("1e", 1 << 60),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert numbers.size(text, 20) == value


@pytest.mark.parametrize(
    "text", ["", "x", ".", "1.5b", "1e3", "1kB", "0x", "0x10k", "1Q", "1-3", "1,2", "0b1", "٣"]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the message
        numbers.size(text, 20)


@pytest.mark.parametrize("text", ["-5", "-0", "17e", str(1 << 64)])
def test_sizes_beyond_64_bits(text: str) -> None:
    with pytest.raises(OverflowError):
        numbers.size(text, 0)
    assert numbers.size("1.", 0) == 1
    with pytest.raises(ValueError, match=r"1\.5"):
        numbers.size("1.5", 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("0", 0),
        ("010", 8),
        ("0x1f", 31),
        ("0b101", 5),
        ("+5", 5),
        ("-5", -5),
        (str((1 << 64) - 1), (1 << 64) - 1),
    ],
)
def test_integers(text: str, value: int) -> None:
    assert numbers.integer(text) == value


@pytest.mark.parametrize("text", ["", "x", "08", "0x", "1.5", "1k", "1e3", str(1 << 64), "٣"])
def test_no_integers(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the message
        numbers.integer(text)
