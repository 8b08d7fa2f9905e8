"""The built-in guest's device state on the wire: one FULL section, and its VM description.

The section ``ramferry/workload``, version 1, is u64 counter, u64 bytes a second, u32 changed bytes,
u8 pattern (its place in ``PATTERNS``), u8 whether the guest is to run, u8 0 × 2, all big-endian.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Final

from ramferry.errors import RemoteProtocolError
from ramferry.guest.workload import Workload
from ramferry.vocabulary import PATTERNS
from ramferry.wire.copying import section_footer
from ramferry.wire.grammar import SectionType
from ramferry.wire.writer import full_section, named_section, stream_end

_IDSTR: Final = "ramferry/workload"
_VERSION: Final = 1
_SECTION: Final = 3
_BODY: Final = struct.Struct(">QQIBB2x")
_FIELDS: Final = (
    ("counter", "uint64", 8),
    ("rate", "uint64", 8),
    ("changed", "uint32", 4),
    ("pattern", "uint8", 1),
    ("running", "uint8", 1),
    ("unused", "buffer", 2),
)


@dataclass(frozen=True, slots=True)
class GuestState:
    """The state of a built-in guest without its memory."""

    counter: int
    """The number of writes that it has done."""
    workload: Workload
    running: bool
    """Whether it runs at the destination."""


def encode(state: GuestState, page_size: int) -> bytes:
    """The end of the stream: everything behind the footer of ram's END section."""
    work = state.workload
    body = _BODY.pack(
        state.counter,
        round(work.rate),
        work.changed,
        PATTERNS.index(work.pattern),
        state.running,
    )
    return full_section(_SECTION, _IDSTR, _VERSION, body) + stream_end(_description(page_size))


def decode(tail: bytes) -> GuestState:
    """Read what ``encode`` wrote.

    :raise RemoteProtocolError: it is the state of another kind of guest, or damaged.
    """
    head = named_section(SectionType.FULL, _SECTION, _IDSTR, _VERSION)
    end = len(head) + _BODY.size
    footer = section_footer(_SECTION)
    if not tail.startswith(head) or tail[end : end + len(footer)] != footer:
        raise RemoteProtocolError(
            f"the state of a built-in guest ({_IDSTR}, version {_VERSION})",
            "another device's",
            channel="main",
        )
    counter, rate, changed, pattern, running = _BODY.unpack(tail[len(head) : end])
    try:
        workload = Workload(float(rate), PATTERNS[pattern], changed)
    except (IndexError, ValueError) as error:
        raise RemoteProtocolError(
            "a built-in guest's workload", f"pattern {pattern}, {changed} bytes", channel="main"
        ) from error
    return GuestState(counter, workload, bool(running))


def _description(page_size: int) -> bytes:
    """The section as QEMU's VM description describes it, in JSON."""
    fields = [{"name": name, "type": kind, "size": size} for name, kind, size in _FIELDS]
    device = {
        "name": _IDSTR,
        "instance_id": 0,
        "vmsd_name": _IDSTR,
        "version": _VERSION,
        "fields": fields,
    }
    return json.dumps({"page_size": page_size, "devices": [device]}).encode()
