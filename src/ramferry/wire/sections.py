"""Sections of the main channel: header, body, footer, and which bodies can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ramferry.wire.bitmap import skip_bitmap_body
from ramferry.wire.copying import copy_body
from ramferry.wire.events import (
    MainEvent,
    NotParsed,
    RamEnd,
    Resynchronised,
    SectionEnd,
    SectionStart,
)
from ramferry.wire.grammar import (
    DIRTY_BITMAP,
    DIRTY_BITMAP_VERSION,
    FOOTER,
    MAX_SECTIONS,
    RAM,
    RAM_VERSION,
    SectionType,
)
from ramferry.wire.ram import RamReader
from ramferry.wire.source import ByteSource, Parse

_BEGUN: Final = (SectionType.PART, SectionType.END)
"""Sections that continue one that a START has begun."""


class SectionReader:
    """Reads sections one by one, and remembers those that were started."""

    def __init__(
        self, source: ByteSource, emit: Callable[[MainEvent], None], ram: RamReader
    ) -> None:
        self.copying = False
        """True inside a body that cannot be read."""
        self.ram_begun = False
        self.ram_ended = False
        self._source = source
        self._emit = emit
        self._ram = ram
        self._started: dict[int, SectionStart] = {}
        self._opened = 0
        self._unparsed: set[str] = set()

    def read(self, kind: SectionType, start: int) -> Parse[None]:
        """Read one section, whose type, at ``start``, has been read already.

        :raise RemoteProtocolError: an unknown or repeated id, a wrong version, a missing or wrong
            footer, or an unknown record of ram or dirty-bitmap.
        """
        section = yield from self._header(kind, start)
        self._emit(section)
        why = _why_not_parsed(section)
        if why:
            yield from self._copy(section, why)
        elif section.idstr == RAM:
            yield from self._ram.body()
        else:
            yield from skip_bitmap_body(self._source)
        yield from self._footer(section)

    def _header(self, kind: SectionType, start: int) -> Parse[SectionStart]:
        source = self._source
        section_id = yield from source.uint(4)
        begun = self._started.get(section_id)
        if kind in _BEGUN:
            if begun is None:
                source.fail("the id of a section that was started", f"id {section_id}")
            return SectionStart(
                start, source.offset, kind, section_id, begun.idstr, begun.instance, begun.version
            )
        if begun is not None:
            source.fail(f"an id other than that of {begun.idstr!r}", f"id {section_id}")
        idstr = yield from source.text("section name")
        instance = yield from source.uint(4)
        version = yield from source.uint(4)
        section = SectionStart(start, source.offset, kind, section_id, idstr, instance, version)
        self._open(section)
        return section

    def _open(self, section: SectionStart) -> None:
        """Note a START or FULL section, and ram's START in particular."""
        self._opened += 1
        if self._opened > MAX_SECTIONS:
            self._source.fail(f"at most {MAX_SECTIONS} sections", repr(section.idstr))
        if section.kind is SectionType.START:
            self._started[section.section_id] = section
        if section.idstr != RAM:
            return
        if self.ram_begun or section.kind is not SectionType.START:
            self._source.fail("one START of ram", f"a {section.kind.name} of ram")
        if section.version != RAM_VERSION:
            self._source.fail(f"ram version {RAM_VERSION}", f"version {section.version}")
        self.ram_begun = True

    def _copy(self, section: SectionStart, why: str) -> Parse[None]:
        start = self._source.offset
        idstr, section_id = section.idstr, section.section_id
        if idstr not in self._unparsed:
            self._unparsed.add(idstr)
            self._emit(NotParsed(start, start, idstr, section_id, why))
        self.copying = True
        yield from copy_body(self._source, section_id, self._started)
        self.copying = False
        self._emit(Resynchronised(start, self._source.offset, idstr, section_id))

    def _footer(self, section: SectionStart) -> Parse[None]:
        source = self._source
        start = source.offset
        first = yield from source.uint(1)
        if first != FOOTER:
            source.fail(
                f"the footer 7e of {section.idstr!r} (machine types before 2.4 send none "
                "and cannot be carried)",
                f"{first:#04x}",
            )
        section_id = yield from source.uint(4)
        if section_id != section.section_id:
            source.fail(f"the footer of id {section.section_id}", f"id {section_id}")
        end = source.offset
        self._emit(SectionEnd(start, end, section.kind, section_id, section.idstr))
        if section.idstr == RAM and section.kind is SectionType.END:
            self.ram_ended = True
            self._emit(RamEnd(section.start, end))


def _why_not_parsed(section: SectionStart) -> str:
    """Say why a section's body cannot be read; empty if it can."""
    if section.idstr == RAM:
        return ""
    if section.idstr != DIRTY_BITMAP or section.kind is SectionType.FULL:
        return "only QEMU knows the length of its state"
    if section.version != DIRTY_BITMAP_VERSION:
        return f"version {section.version} is not {DIRTY_BITMAP_VERSION}"
    return ""
