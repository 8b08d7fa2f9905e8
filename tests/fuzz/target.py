"""What is fuzzed: a target has valid samples, a check that takes any bytes, and bounds.

A check returns whether the bytes were accepted, and lets out only what is a finding: any error that
the house does not promise there, or an assertion of its own.
"""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"
"""A file for each target: inputs that earlier runs kept for the code they reach, in base64."""

Change = Callable[[bytes, random.Random], bytes | None]
"""Changes an input in a way of its format's own; None if it cannot."""


@dataclass(frozen=True)
class Target:
    """One parser or decoder, or several that take the same bytes."""

    name: str
    check: Callable[[bytes], bool]
    samples: Callable[[], list[bytes]]
    """Valid inputs, of the house's own writers and of captures; the same ones in every process."""
    tokens: tuple[bytes, ...] = ()
    """Words of the format, which random changes would hardly make."""
    change: Change | None = None
    longest: int = 64 * 1024
    """Bytes of the longest input that is tried."""
    seconds: float = 1.0
    """CPU time that one input may take, whatever its size …"""
    seconds_a_byte: float = 20e-6
    """… and for each byte more; both have room for a busy host and for tracing."""
    mebibytes: int = 16
    """Python's own memory that an input may take at its peak, besides 64 bytes for each of it."""
    trials: int = 150
    """Changed inputs that the unit tests try, within a second."""

    @cached_property
    def corpus(self) -> list[bytes]:
        """The samples, and what is kept in the tree."""
        return [*self.samples(), *kept(self.name)]


def kept(name: str) -> list[bytes]:
    """The inputs in the tree for one target."""
    path = CORPUS / name
    lines = path.read_text().split() if path.exists() else []
    return [base64.b85decode(line) for line in lines]


def keep(name: str, inputs: list[bytes]) -> None:
    """Write a target's inputs into the tree, in place of those that are there."""
    CORPUS.mkdir(exist_ok=True)
    lines = sorted(
        (base64.b85encode(data).decode() for data in inputs), key=lambda one: (len(one), one)
    )
    (CORPUS / name).write_text("".join(f"{line}\n" for line in lines))


def chance_of(data: bytes) -> random.Random:
    """Choices that a check makes beside its input, as where it is split: the same for the same
    bytes."""
    return random.Random(zlib.crc32(data))


def pieces(data: bytes, chance: random.Random) -> list[bytes]:
    """``data`` in pieces: whole, by single bytes, or cut anywhere."""
    how = chance.randrange(4)
    if how == 0 or not data:
        return [data]
    if how == 1 and len(data) < 4096:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(chance.randrange(len(data)) for _ in range(chance.randrange(1, 12)))
    return [data[at:end] for at, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@cache
def unchanging() -> int:
    """Seconds since 1970 that samples name as the time of their making."""
    return 1_700_000_000
