"""What a policy knows of a migration at one moment. Frozen records; all sizes are bytes.

*Pages* are bytes of pages with content, before they are compressed; *wire* bytes are what became of
them. A *core second* is a second of one core.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class PageClass(Enum):
    """Kinds of packets that a cheap sample of their bytes tells apart."""

    ZEROS = "mostly zero"
    TEXT = "text-like"
    BINARY = "binary"
    RANDOM = "incompressible"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to compress a packet's pages."""

    method: str
    level: int = 0
    """0 for a method without levels."""
    device: bool = False
    """Whether a QAT device does it, proven on this host."""

    def __str__(self) -> str:
        """As people name it: "zstd 3", "qatzip 1 on a device", "none"."""
        level = f" {self.level}" if self.method != "none" else ""
        return f"{self.method}{level}{' on a device' if self.device else ''}"


NONE: Final = Candidate("none")
"""Pages as they are; in a stream of one method, stored in its form."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What a candidate makes of a class of pages, for each byte of pages."""

    wire: float
    """Wire bytes: 0.25 for a ratio of 4."""
    encode: float
    """Core seconds where pages are compressed."""
    decode: float
    """Core seconds where they are inflated."""
    measured: int = 0
    """Bytes of pages that it was measured with in this migration; 0: an expectation."""


@dataclass(frozen=True, slots=True)
class Host:
    """What a host's relay has for a migration."""

    cores: float
    """Cores that its codecs, sockets and digests may use together: what other load leaves, guests'
    vCPUs first, capped by ``--cpu-limit`` and by how many channels there are."""
    page_cost: float = 0.0
    """Core seconds for each byte of pages that it takes besides its codecs, whatever the method."""
    wire_cost: float = 0.0
    """Core seconds for each wire byte."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured so far."""

    shares: Mapping[PageClass, float]
    """Each class' share of the bytes of pages that come lately; they add up to 1."""
    figures: Mapping[PageClass, Mapping[Candidate, Figure]]
    """Of the candidates that may be chosen: those that the far end inflates. ``NONE`` is one."""
    near: Host
    """Where pages are compressed."""
    far: Host
    """Where they are inflated."""
    one_host: bool = False
    """Whether both ends are on one host and share ``near.cores``."""
    link: float = math.inf
    """Wire bytes a second that the link carries, or, unless ``link_known``, at least carries."""
    link_known: bool = False
    """Whether the rate is the link's, because it was blocked meanwhile."""
    device_rate: float = math.inf
    """Bytes of pages a second that the near host's devices compress at most."""
    source_rate: float = math.inf
    """Bytes of pages a second that the source delivers at most."""
    far_behind: float = 0.0
    """Seconds of work that wait at the far end."""
    frozen: bool = False
    """Whether the switchover is near or under way: nothing is changed then."""
    began: float = -math.inf
    """When the migration began, by the caller's clock, in seconds."""
