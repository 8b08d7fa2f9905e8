"""Numbers as QEMU's human monitor reads them (tried on 10.0.13): sizes, and plain integers."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

UINT64_MAX: Final = (1 << 64) - 1
_SUFFIXES: Final = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_SIZE: Final = re.compile(
    r"\+?(?:0x(?P<hex>[0-9a-f]+)|(?P<number>\d+\.?\d*|\.\d+)(?P<suffix>[bkmgtpe]?))",
    re.IGNORECASE | re.ASCII,
)
_INTEGER: Final = re.compile(
    r"(?P<sign>[+-]?)(?:0x(?P<hex>[0-9a-f]+)|0b(?P<bits>[01]+)|0(?P<octal>[0-7]*)"
    r"|(?P<decimal>[1-9]\d*))",
    re.IGNORECASE | re.ASCII,
)


def size(text: str, shift: int) -> int:
    """Read a size: ``512``, ``1.5G``, ``0x1000``.

    :param shift: what a number without a suffix is multiplied with, as a power of 2.
    :raise OverflowError: it is negative, or does not fit 64 bits.
    :raise ValueError: it is none.
    """
    if re.fullmatch(r"-\d+", text):
        raise OverflowError(text)
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    if match["hex"]:
        value = Fraction(int(match["hex"], 16) << shift)
    else:
        unit = _SUFFIXES[match["suffix"].lower()] if match["suffix"] else shift
        value = Fraction(match["number"].rstrip(".")) * (1 << unit)
        if "." in match["number"].rstrip(".") and not unit:
            raise ValueError(text)  # a part of a byte
    if value > UINT64_MAX:
        raise OverflowError(text)
    return int(value)


def integer(text: str) -> int:
    """Read an integer as C does: ``12``, ``0x0c``, ``014``.

    :raise ValueError: it is none, or does not fit 64 bits.
    """
    match = _INTEGER.fullmatch(text)
    if match is None:
        raise ValueError(text)
    bases = (("hex", 16), ("bits", 2), ("octal", 8), ("decimal", 10))
    digits, base = next((match[name], base) for name, base in bases if match[name] is not None)
    value = int(digits or "0", base)
    if value > UINT64_MAX:
        raise ValueError(text)
    return -value if match["sign"] == "-" else value
