"""What two Ramferrys agreed on for one migration."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both ends of a ``relay:`` address have."""

    far: str
    """The other one's version."""
    protocol: int
    """The version of the relay protocol that is spoken."""
    digest: str
    """The digest with which every packet is verified, "xxh3-128"; empty if none is."""
    member_size: str
    """The largest of ``vocabulary.MEMBER_SIZES`` that suits the end that inflates."""
    method_per_packet: bool
    """Whether the method may change from packet to packet."""
    answers: bool
    """Whether the destination's answer survives a broken link."""
    streams: bool = False
    """Whether a stream without multifd channels may travel by a tunnel of several connections."""
    loads: bool = False
    """Whether the end that inflates tells how busy it is."""
    order: bool = False
    """Whether streams that say nothing reach the destination in the order in which they came."""
    inflates: tuple[str, ...] = field(default=(), compare=False)
    """The methods that that end inflates."""
    migration: str = field(default="", compare=False)
    """The id that the connecting side gave the migration; empty if it gave none."""
