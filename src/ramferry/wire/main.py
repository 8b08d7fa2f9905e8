"""The main channel, read as it streams by: where its sync marks, commands and blocks are.

The parser does no I/O and holds nothing back: whoever owns the bytes passes them on and goes by
the ``start`` and ``end`` of events. It understands commands, ram's and dirty-bitmap's sections;
any other body is copied up to its footer, and everything behind ram's END to the end of stream.
``grammar.py`` has the grammar and the transition table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from ramferry.errors import RemoteProtocolError
from ramferry.vocabulary import PACKAGED, PAGE_SIZE
from ramferry.wire import grammar
from ramferry.wire.configuration import (
    CAPABILITIES,
    TARGET_PAGE_BITS,
    read_configuration,
    read_subsection,
)
from ramferry.wire.copying import copy_tail
from ramferry.wire.events import (
    BlockEntry,
    Closed,
    Command,
    EndOfStream,
    MainEvent,
    StreamHeader,
)
from ramferry.wire.grammar import TRANSITIONS, SectionType, State
from ramferry.wire.ram import Mode, RamReader
from ramferry.wire.sections import SectionReader
from ramferry.wire.source import Parse
from ramferry.wire.stream import StreamParser

CHANNEL: Final = "main"
"""How errors name this channel."""
_ADVISE: Final = "POSTCOPY_ADVISE"


class MainParser(StreamParser[MainEvent]):
    """Turns the main channel's bytes into events.

    ``page_size`` is the target's, in bytes; the stream's configuration may name another.
    """

    def __init__(
        self,
        *,
        page_size: int = PAGE_SIZE,
        give_pages: bool = False,
        mixed: bool = False,
        mapped_at: int | None = None,
    ) -> None:
        """See the class.

        :param give_pages: give pages of the main channel as events too, in order with the marks.
        :param mixed: besides whole pages there may be others (XBZRLE's, compressed ones), of which
            there are no events.
        :param mapped_at: the stream is that of a mapped-ram file and begins at this offset; None
            for any other stream.
        """
        super().__init__(CHANNEL)
        self._mapped_at = mapped_at
        self._ram = RamReader(
            self._source, self._emit, page_size, give_pages=give_pages, mixed=mixed
        )
        self._sections = SectionReader(self._source, self._emit, self._ram)
        self._state = State.HEADER
        self._end_of_stream = -1
        """Offset behind the last end of stream that was seen."""
        self._items: Mapping[SectionType, Callable[[SectionType, int], Parse[None]]] = {
            SectionType.CONFIGURATION: self._configuration,
            SectionType.SUBSECTION: self._subsection,
            SectionType.COMMAND: self._command,
            SectionType.START: self._section,
            SectionType.PART: self._section,
            SectionType.END: self._section,
            SectionType.FULL: self._section,
            SectionType.EOF: self._eof,
            SectionType.VMDESCRIPTION: self._vmdescription,
        }

    @property
    def mode(self) -> Mode | None:
        """Which record is the sync mark; None before ram's first section has ended."""
        return self._ram.mode

    @property
    def blocks(self) -> Mapping[str, BlockEntry]:
        """The guest's RAM blocks by name; empty before the block list was read."""
        return MappingProxyType(self._ram.blocks)

    @property
    def page_size(self) -> int:
        """Target page size in bytes: the caller's, or the one that the configuration names."""
        return self._ram.page_size

    @property
    def pages(self) -> int:
        """Pages with content seen on this channel."""
        return self._ram.pages

    @property
    def zero_pages(self) -> int:
        """Zero pages seen on this channel."""
        return self._ram.zero_pages

    @property
    def state(self) -> State:
        """What has been read so far."""
        return self._state

    def eof(self) -> Closed:
        """Tell the parser that the connection has ended.

        :raise RemoteProtocolError: it may not end here: the stream is cut short.
        """
        if self._error is not None:
            raise self._error
        here = self.position
        if self._end_of_stream == here:
            return Closed(here, here, certain=True)
        if self._state is State.TAIL or self._sections.copying:
            return Closed(here, here, certain=False)
        self._error = RemoteProtocolError(
            f"the rest of the stream, which is in {self._state.name}",
            f"its end after {here} bytes",
            channel=CHANNEL,
        )
        raise self._error

    def _emit(self, event: MainEvent) -> None:
        super()._emit(event)
        if isinstance(event, EndOfStream):
            self._end_of_stream = event.end

    def _stream(self) -> Parse[None]:
        yield from self._header()
        while self._state is not State.TAIL:
            start = self._source.offset
            kind = yield from self._section_type()
            yield from self._items[kind](kind, start)
        yield from copy_tail(self._source, self._emit)

    def _header(self) -> Parse[None]:
        magic = yield from self._source.take(len(grammar.MAGIC))
        if magic != grammar.MAGIC:
            self._source.fail(f"magic {grammar.MAGIC.hex()}", magic.hex())
        version = yield from self._source.uint(4)
        if version != grammar.VERSION:
            self._source.fail(f"stream version {grammar.VERSION}", f"version {version}")
        self._state = State.OPENING
        self._emit(StreamHeader(0, self._source.offset, version))

    def _section_type(self) -> Parse[SectionType]:
        """Read the next section type and move to the state that follows it."""
        allowed = TRANSITIONS[self._state]
        number = yield from self._source.uint(1)
        kind = next((kind for kind in allowed if kind == number), None)
        if kind is None:
            names = ", ".join(kind.name for kind in allowed) or "nothing"
            self._source.fail(f"{names} in {self._state.name}", f"section type {number:#04x}")
        self._state = allowed[kind]
        return kind

    def _configuration(self, _kind: SectionType, start: int) -> Parse[None]:
        self._emit((yield from read_configuration(self._source, start)))

    def _subsection(self, _kind: SectionType, start: int) -> Parse[None]:
        subsection = yield from read_subsection(self._source, start)
        value = subsection.value
        if subsection.name == TARGET_PAGE_BITS and isinstance(value, int):
            self._ram.page_size = 1 << value
        elif subsection.name == CAPABILITIES and isinstance(value, tuple):
            self._ram.ignore_shared = "x-ignore-shared" in value
            if "mapped-ram" in value:
                self._ram.mapped_at = self._mapped_at
                if self._mapped_at is None:
                    self._source.fail("a stream", "a mapped-ram file")
        self._emit(subsection)

    def _command(self, _kind: SectionType, start: int) -> Parse[None]:
        number = yield from self._source.uint(2)
        length = yield from self._source.uint(2)
        spec = grammar.COMMANDS.get(number)
        if spec is None:
            self._source.fail(f"a command up to {max(grammar.COMMANDS)}", f"command {number}")
        if length not in spec.lengths:
            allowed = sorted({spec.lengths[0], spec.lengths[-1]})
            self._source.fail(f"{allowed} bytes of {spec.name}", f"{length} bytes")
        data = yield from self._source.take(length)
        self._emit(Command(start, self._source.offset, number, spec.name, data))
        if spec.name == _ADVISE:
            self._ram.advise(data)
        elif number == PACKAGED:
            yield from self._source.skip(int.from_bytes(data, "big"))

    def _section(self, kind: SectionType, start: int) -> Parse[None]:
        yield from self._sections.read(kind, start)
        if self._sections.ram_ended:
            self._state = State.TAIL
        elif self._sections.ram_begun:
            self._state = State.ROUNDS

    def _eof(self, _kind: SectionType, start: int) -> Parse[None]:
        self._emit(EndOfStream(start, self._source.offset, None))
        yield from ()

    def _vmdescription(self, _kind: SectionType, start: int) -> Parse[None]:
        length = yield from self._source.uint(4)
        yield from self._source.skip(length)
        self._emit(EndOfStream(start, self._source.offset, length))
