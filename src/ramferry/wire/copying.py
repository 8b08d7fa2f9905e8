"""Bytes that are passed on without being understood, and how their end is found.

Section bodies have no length. A body that cannot be read ends where its footer stands and
something follows that may follow a footer; the stream ends where an EOF byte, the VM description's
header and as much JSON text as that header says stand in a row. Both searches look at each byte
once, whatever the pieces the stream comes in, and set aside less than ``_LONGEST_MATCH`` bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Container
from typing import Final

from ramferry.wire.events import EndOfStream, MainEvent
from ramferry.wire.grammar import COMMANDS, FOOTER, SectionType
from ramferry.wire.source import ByteSource, Parse

_FOOTER_SIZE: Final = 5
_ID_END: Final = 5
"""Bytes of a section type and a section id."""
_MAX_VERSION: Final = 0xFFFF
"""A section version beyond it is no section; QEMU's are below 100."""
_LONGEST_MATCH: Final = _FOOTER_SIZE + _ID_END + 256 + 8
"""A footer and a START header with the longest name."""

_END: Final = re.compile(rb'\x00\x06(....)\{"', re.DOTALL)
_END_HEADER: Final = 6
_END_SIZE: Final = 8
_CONTROL: Final = re.compile(rb"[\x00-\x1f]")


def section_footer(section_id: int) -> bytes:
    """The five bytes behind a section's body."""
    return struct.pack(">BI", FOOTER, section_id)


def copy_body(source: ByteSource, section_id: int, known: Container[int]) -> Parse[None]:
    """Pass over a body that cannot be read, up to its footer.

    ``known`` are the ids of the sections that a PART or END may belong to.
    """
    footer = section_footer(section_id)
    while True:
        window = bytes(source.view[source.pos :])
        found, at = _find_footer(window, footer, known)
        source.pos += at
        if found:
            return
        source.keep()
        yield


def _find_footer(window: bytes, footer: bytes, known: Container[int]) -> tuple[bool, int]:
    """Say whether the body's end is in the window, and where it, or what may become it, begins."""
    at = window.find(footer)
    while at >= 0:
        behind = at + _FOOTER_SIZE
        verdict = _may_follow(window[behind : at + _LONGEST_MATCH], known)
        if verdict is not False:
            return verdict is True, at
        at = window.find(footer, at + 1)
    for size in range(min(_FOOTER_SIZE - 1, len(window)), 0, -1):
        if footer.startswith(window[-size:]):
            return False, len(window) - size
    return False, len(window)


def _may_follow(head: bytes, known: Container[int]) -> bool | None:
    """Whether these bytes may begin an item; None if more bytes are needed to tell."""
    if not head:
        return None
    if head[0] in (SectionType.START, SectionType.FULL):
        return _may_be_header(head, known)
    if head[0] not in (SectionType.PART, SectionType.END, SectionType.COMMAND):
        return False
    if len(head) < _ID_END:
        return None
    if head[0] == SectionType.COMMAND:
        number, length = struct.unpack_from(">HH", head, 1)
        return number in COMMANDS and length in COMMANDS[number].lengths
    return int.from_bytes(head[1:_ID_END], "big") in known


def _may_be_header(head: bytes, known: Container[int]) -> bool | None:
    if len(head) <= _ID_END:
        return None
    name_end = _ID_END + 1 + head[_ID_END]
    name = head[_ID_END + 1 : name_end]
    if int.from_bytes(head[1:_ID_END], "big") in known or not head[_ID_END]:
        return False
    if not all(0x20 <= letter < 0x7F for letter in name):
        return False
    if len(head) < name_end + 8:
        return None
    return int.from_bytes(head[name_end + 4 : name_end + 8], "big") <= _MAX_VERSION


def copy_tail(source: ByteSource, emit: Callable[[MainEvent], None]) -> Parse[None]:
    """Pass over all that is left, giving an EndOfStream wherever the stream may be at its end."""
    while True:
        length = _find_end(source)
        if length is None:
            source.pos = _possible_end(source.view, source.pos)
            source.keep()
            yield
            continue
        start = source.offset
        source.pos += _END_HEADER
        if (yield from _skip_json(source, length)):
            emit(EndOfStream(start, source.offset, length))


def vm_description(tail: bytes) -> bytes:
    """The VM description at the end of ``tail``, which is all that follows ram's END; empty if
    there is none."""
    source = ByteSource("main")
    found: list[MainEvent] = []
    source.push(memoryview(tail))
    next(copy_tail(source, found.append))
    for event in found:
        if isinstance(event, EndOfStream) and event.vmdesc_length and event.end == len(tail):
            return tail[-event.vmdesc_length :]
    return b""


def _find_end(source: ByteSource) -> int | None:
    """Move to what looks like an end of stream and return the length of its text; None if nothing
    does.

    The regular expression's match is not returned, because it would keep the caller's buffer alive.
    """
    match = _END.search(source.view, source.pos)
    if match is None:
        return None
    source.pos = match.start()
    return int.from_bytes(match[1], "big")


def _possible_end(view: memoryview, at: int) -> int:
    """Offset of the last bytes that may begin an end of stream; the view's end if none may."""
    first = max(at, len(view) - _END_SIZE + 1)
    tail = bytes(view[first:])
    for index in range(len(tail)):
        if b"\x00\x06".startswith(tail[index : index + 2]):
            return first + index
    return len(view)


def _skip_json(source: ByteSource, length: int) -> Parse[bool]:
    """Pass over ``length`` bytes of JSON. Return False, and stop in front of it, at a byte that
    JSON cannot hold."""
    last = 0
    while length:
        stop = source.pos + min(length, source.available)
        control = _CONTROL.search(source.view, source.pos, stop)
        if control is not None:
            source.pos = control.start()
            return False
        if stop > source.pos:
            last = source.view[stop - 1]
            length -= stop - source.pos
            source.pos = stop
        if length:
            yield
    return last == ord("}")
