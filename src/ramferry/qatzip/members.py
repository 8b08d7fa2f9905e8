"""Chains of gzip-ext members, walked by their headers and checked against what they hold.

What a device wrote or inflated is verified here on the CPU: the members' lengths lead from one to
the next, and each one's CRC-32 and length are those of its data. Cheap: a CRC runs at several
times the speed of any deflate.
"""

from __future__ import annotations

from dataclasses import dataclass

from isal import isal_zlib

from ramferry.qatzip import framing

_HEAD, _TRAILER = framing.GZIP_EXT_HEAD, framing.GZIP_TRAILER
_MAGIC = framing.GZIP_EXT_MAGIC
_XFL = 8
"""Offset of the only byte of the magic that differs between writers."""


@dataclass(frozen=True, slots=True)
class Member:
    """The position of a member, and what its header and trailer say."""

    start: int
    end: int
    src: int
    """Bytes that it holds."""
    xfl: int
    crc: int


def walk(payload: memoryview) -> list[Member] | None:
    """Find all members; None if ``payload`` is not a chain of members whose lengths are true."""
    chain = leading(payload)
    return chain if (chain[-1].end if chain else 0) == len(payload) else None


def leading(payload: memoryview) -> list[Member]:
    """Find the members with true lengths that ``payload`` begins with."""
    members: list[Member] = []
    at = 0
    while len(payload) - at > _HEAD.size + _TRAILER.size:
        magic, src, dest = _HEAD.unpack_from(payload, at)
        end = at + _HEAD.size + dest + _TRAILER.size
        plain = magic[:_XFL] == _MAGIC[:_XFL] and magic[_XFL + 1 :] == _MAGIC[_XFL + 1 :]
        if dest == 0 or end > len(payload) or not plain:
            break
        crc, size = _TRAILER.unpack_from(payload, end - _TRAILER.size)
        if size != src:
            break
        members.append(Member(at, end, src, magic[_XFL], crc))
        at = end
    return members


def hold(members: list[Member], data: memoryview) -> bool:
    """Whether the lengths and CRCs of ``members`` are those of ``data``."""
    at = 0
    for member in members:
        if isal_zlib.crc32(data[at : at + member.src]) != member.crc:
            return False
        at += member.src
    return at == len(data)
