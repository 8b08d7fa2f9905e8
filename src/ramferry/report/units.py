"""Numbers for people."""

from __future__ import annotations


def rate(bytes_per_second: float) -> str:
    """A rate in 10^6 bytes a second, as links and discs are sold: "118 MB/s"."""
    megabytes = bytes_per_second / 1e6
    return f"{megabytes:.0f} MB/s" if megabytes >= 10 else f"{megabytes:.1f} MB/s"


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
