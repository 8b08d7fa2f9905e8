"""How parts of a result are written for people."""

from __future__ import annotations

from ramferry.vocabulary import PACKET_BYTES


def shown_members(member_size: int | None) -> str:
    """What is to be said of QATzip's members: "1 member a packet", or nothing."""
    return "1 member a packet" if member_size == PACKET_BYTES else ""


def shown_backend(backend: str, member_size: int | None) -> str:
    """A result's backend as people read it: "isa-l", or "isa-l, 1 member a packet"."""
    members = shown_members(member_size)
    return f"{backend}, {members}" if members else backend
