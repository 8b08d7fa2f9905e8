"""Numbers as people read and write them."""

from __future__ import annotations

from typing import Final

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def parse_rate(text: str) -> float | None:
    """Bytes a second: ``125M`` is 125 000 000, ``64Mi`` 67 108 864, ``1Gbit`` 125 000 000.

    None if ``text`` is not a rate; a rate is finite and not negative.
    """
    text = text.strip().lower().removesuffix("/s")
    divisor = 8 if text.endswith("bit") else 1
    text = text.removesuffix("bit").removesuffix("b")
    number = text.rstrip("kmgi")
    try:
        found = float(number) * _UNITS[text[len(number) :].upper()] / divisor
    except (ValueError, KeyError):
        return None
    return found if 0 <= found < float("inf") else None


def parse_size(text: str) -> int | None:
    """Bytes of memory in whole MiB, by the binary units of QEMU's ``-m``: ``512M``, ``2G``.

    Without a unit it is MiB. None if ``text`` is not a size.
    """
    text = text.strip().upper().removesuffix("IB").removesuffix("B")
    number = text.rstrip("MG")
    shift = {"": 20, "M": 20, "G": 30}.get(text[len(number) :])
    try:
        size = float(number) * (1 << shift) if shift else 0.0
    except ValueError:
        return None
    whole = (1 << 20) <= size < float("inf") and not size % (1 << 20)
    return int(size) if whole else None


def rate(bytes_per_second: float) -> str:
    """A rate in 10^6 bytes a second, as links and discs are sold: "118 MB/s"."""
    megabytes = bytes_per_second / 1e6
    return f"{megabytes:.0f} MB/s" if megabytes >= 10 else f"{megabytes:.1f} MB/s"


def bit_rate(bytes_per_second: float) -> str:
    """A link's rate as it is named: "250 Mbit/s", "2.5 Gbit/s"."""
    megabits = round(bytes_per_second * 8 / 1e6, 3)
    return f"{megabits / 1000:g} Gbit/s" if megabits >= 1000 else f"{megabits:g} Mbit/s"


def memory(size: int) -> str:
    """A size of memory in binary units: "412 MiB", "1.5 GiB"."""
    if size >= 1 << 30:
        return f"{size / (1 << 30):.1f} GiB"
    if size >= 1 << 20:
        return f"{size / (1 << 20):.0f} MiB"
    return f"{size / (1 << 10):.0f} KiB"


def duration(seconds: float) -> str:
    """A time to wait: "12 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
