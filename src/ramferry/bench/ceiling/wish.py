"""What one run shall be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    """What one run shall be."""

    method_in: str
    method_out: str
    channels: int
    seconds: float
    """How long it is looked at."""
    codec_micros: float | None = 0.0
    """CPU time of an idle codec for each packet; None: the methods' own codecs work."""
    cores: int = 0
    """The relay runs on so many cores, and its peers on the others, if any are left; 0: all run
    where they like."""

    def __str__(self) -> str:
        """In words."""
        many = "s" * (self.channels > 1)
        return f"{self.method_in} → {self.method_out}, {self.channels} channel{many}"
