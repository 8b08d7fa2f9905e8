"""Bodies of ram's sections: records of one word, which is an offset with flags in its low bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import numpy as np

from ramferry.wire.events import BlockEntry, BlockList, MainEvent, PageRun, SyncMark, ZeroPages
from ramferry.wire.grammar import MAX_BLOCKS, RECORD_SIZE, ZERO_RECORD_SIZE, RamFlag
from ramferry.wire.mapped import read_mapped_block
from ramferry.wire.source import ByteSource, Parse

Mode = Literal["section", "round"]
"""Which record is the sync mark: the EOS of every section, or MULTIFD_FLUSH."""

_ZERO_FLAGS: Final = RamFlag.ZERO | RamFlag.CONTINUE
_PAGE_FLAGS: Final = RamFlag.PAGE | RamFlag.CONTINUE
_FIRST_WINDOW: Final = 128
"""Records looked at first; the window doubles while all of them match, so that streams that mix
zero pages with others never look at the same byte more than a few times."""
_XBZRLE_ENCODING: Final = 1


def zero_run(view: memoryview, at: int, page_size: int, used_length: int) -> int:
    """Count the zero-page records that follow each other from ``at`` on, each valid and whole.

    ``view`` is of format ``B``. The first record that is not a zero page of the current block (of
    ``used_length`` bytes), or is cut, ends the run: it is for the caller to judge.
    """
    found, window = 0, _FIRST_WINDOW
    left = (len(view) - at) // ZERO_RECORD_SIZE
    while left:
        count = min(window, left)
        words = np.ndarray(count, ">u8", view, at, (ZERO_RECORD_SIZE,)).astype(np.uint64)
        fills = np.ndarray(count, np.uint8, view, at + RECORD_SIZE, (ZERO_RECORD_SIZE,))
        wrong = (words & np.uint64(page_size - 1)) != _ZERO_FLAGS
        wrong |= words >= used_length
        wrong |= fills != 0
        first = int(wrong.argmax())
        if wrong[first]:
            return found + first
        found += count
        left -= count
        at += count * ZERO_RECORD_SIZE
        window *= 2
    return found


def page_run(view: memoryview, at: int, page_size: int, used_length: int) -> int:
    """Count the records of pages with content that follow each other, as ``zero_run`` does for zero
    pages."""
    stride = RECORD_SIZE + page_size
    count = (len(view) - at) // stride
    if count <= 0:
        return 0
    words = np.ndarray(count, ">u8", view, at, (stride,)).astype(np.uint64)
    wrong = (words & np.uint64(page_size - 1)) != _PAGE_FLAGS
    wrong |= words >= used_length
    first = int(wrong.argmax())
    return first if wrong[first] else count


class RamReader:
    """Reads the bodies of ram's sections, and remembers what one section tells the next."""

    def __init__(
        self,
        source: ByteSource,
        emit: Callable[[MainEvent], None],
        page_size: int,
        *,
        give_pages: bool = False,
        mixed: bool = False,
    ) -> None:
        """See the class.

        :param give_pages: give pages as events.
        :param mixed: pass over records that QEMU never mixes with multifd, in place of refusing
            them where pages are given.
        """
        self.page_size = page_size
        """Target page size in bytes; the configuration may correct it before the first section."""
        self.blocks: dict[str, BlockEntry] = {}
        self.mode: Mode | None = None
        self.pages = self.zero_pages = 0
        self.ignore_shared = False
        """Whether entries of the block list carry an address, by the x-ignore-shared capability."""
        self.mapped_at: int | None = None
        """Where the stream begins in a mapped-ram file; None for any other stream."""
        self._source = source
        self._emit = emit
        self._listed = self._huge_pages = False
        self._current: BlockEntry | None = None
        self._marks = 0
        self._give_pages, self._whole_only = give_pages, give_pages and not mixed
        self._contents: dict[int, Callable[[BlockEntry, int, int], Parse[None]]] = {
            RamFlag.ZERO: self._zero,
            RamFlag.PAGE: self._page,
            RamFlag.XBZRLE: self._xbzrle,
            RamFlag.COMPRESS: self._compressed,
        }

    def advise(self, data: bytes) -> None:
        """Take a POSTCOPY_ADVISE's data: the page sizes of all RAM blocks, or'ed together, if
        any."""
        self._huge_pages = int.from_bytes(data[:8], "big").bit_count() > 1

    def body(self) -> Parse[None]:
        """Read one section's body, its EOS included."""
        while True:
            start = self._source.offset
            word = yield from self._source.uint(RECORD_SIZE)
            flags = word & (self.page_size - 1)
            offset = word - flags
            content = self._contents.get(flags & ~RamFlag.CONTINUE)
            if content is not None:
                block = yield from self._block(flags, offset)
                yield from content(block, start, offset)
            elif flags == RamFlag.MEM_SIZE:
                yield from self._block_list(start, offset)
            elif word == RamFlag.MULTIFD_FLUSH:
                self._flush(start)
            elif word == RamFlag.EOS:
                return self._end_of_section(start)
            else:
                self._source.fail("a RAM record", self._describe(flags, word))

    def _describe(self, flags: int, word: int) -> str:
        if flags & RamFlag.HOOK:
            return f"{word:#x}, a record of RDMA, which cannot be carried"
        return f"{word:#x}"

    def _block(self, flags: int, offset: int) -> Parse[BlockEntry]:
        """Find the record's block, and check that its page lies inside."""
        block = self._current
        if not flags & RamFlag.CONTINUE:
            name = yield from self._source.text("RAM block name")
            block = self._current = self.blocks.get(name)
            if block is None:
                self._source.fail("a RAM block of this guest", f"block {name!r}")
        if block is None:
            self._source.fail("a record that names its RAM block", "CONTINUE before any block")
        if offset >= block.used_length:
            self._source.fail(
                f"an offset inside {block.name!r} of {block.used_length:#x} bytes", f"{offset:#x}"
            )
        return block

    def _zero(self, block: BlockEntry, start: int, offset: int) -> Parse[None]:
        source = self._source
        fill = yield from source.uint(1)
        if fill:
            source.fail("a zero page's fill byte of 0", f"{fill:#04x}")
        self.zero_pages += 1
        run = 0
        if source.available >= ZERO_RECORD_SIZE and source.view[source.pos + 7] == _ZERO_FLAGS:
            run = zero_run(source.view, source.pos, self.page_size, block.used_length)
        if self._give_pages:
            offsets = np.empty(1 + run, np.uint64)
            offsets[0] = offset
            words = np.ndarray(run, ">u8", source.view, source.pos, (ZERO_RECORD_SIZE,))
            np.bitwise_and(words, np.uint64(-self.page_size & (1 << 64) - 1), out=offsets[1:])
            self._emit(
                ZeroPages(start, source.offset + run * ZERO_RECORD_SIZE, block.name, offsets)
            )
        source.pos += run * ZERO_RECORD_SIZE
        self.zero_pages += run

    def _page(self, block: BlockEntry, start: int, offset: int) -> Parse[None]:
        if not self._give_pages:
            yield from self._source.skip(self.page_size)
            self.pages += 1
        elif self._source.available >= self.page_size:
            self._pages_at_hand(block, start, offset)
        else:
            data = yield from self._source.take(self.page_size)
            content = np.frombuffer(data, np.uint8).reshape(1, -1)
            offsets = np.array([offset], np.uint64)
            self._emit(PageRun(start, self._source.offset, block.name, offsets, content))
            self.pages += 1

    def _pages_at_hand(self, block: BlockEntry, start: int, offset: int) -> None:
        """Read a page whose record's word was read, and all whole ones that follow it."""
        source, page = self._source, self.page_size
        stride, behind = RECORD_SIZE + page, source.pos + page
        run = page_run(source.view, behind, page, block.used_length)
        offsets = np.empty(1 + run, np.uint64)
        offsets[0] = offset
        words = np.ndarray(run, ">u8", source.view, behind, (stride,))
        np.bitwise_and(words, np.uint64(-page & (1 << 64) - 1), out=offsets[1:])
        content = np.ndarray((1 + run, page), np.uint8, source.view, source.pos, (stride, 1))
        source.pos = behind + run * stride
        self._emit(PageRun(start, source.offset, block.name, offsets, content))
        self.pages += 1 + run

    def _xbzrle(self, _block: BlockEntry, _start: int, _offset: int) -> Parse[None]:
        if self._whole_only:
            self._source.fail("whole pages", "an XBZRLE record: unset xbzrle on the source")
        encoding = yield from self._source.uint(1)
        if encoding != _XBZRLE_ENCODING:
            self._source.fail(f"XBZRLE encoding {_XBZRLE_ENCODING}", str(encoding))
        size = yield from self._source.uint(2)
        if size > self.page_size:
            self._source.fail(f"at most {self.page_size} bytes of XBZRLE data", str(size))
        yield from self._source.skip(size)
        self.pages += 1

    def _compressed(self, _block: BlockEntry, _start: int, _offset: int) -> Parse[None]:
        if self._whole_only:
            self._source.fail("whole pages", "a compressed record: unset compress on the source")
        size = yield from self._source.uint(4)
        # zlib's compressBound, which QEMU holds this record against too
        page = self.page_size
        longest = page + (page >> 12) + (page >> 14) + (page >> 25) + 13
        if size > longest:
            self._source.fail(f"at most {longest} bytes of a compressed page", str(size))
        yield from self._source.skip(size)
        self.pages += 1

    def _block_list(self, start: int, total: int) -> Parse[None]:
        if self._listed:
            self._source.fail("one block list", "another one")
        if self._huge_pages:
            self._source.fail("RAM of one page size", "postcopy's advice of several")
        blocks: dict[str, BlockEntry] = {}
        left = total
        while left:
            block = yield from self._block_entry(blocks, left)
            left -= block.used_length
            blocks[block.name] = block
        self._listed = True
        self.blocks.update(blocks)
        self._emit(BlockList(start, self._source.offset, tuple(blocks.values()), total))

    def _block_entry(self, before: Mapping[str, BlockEntry], left: int) -> Parse[BlockEntry]:
        name = yield from self._source.text("RAM block name")
        length = yield from self._source.uint(8)
        if name in before:
            self._source.fail("each RAM block once", f"block {name!r} again")
        if len(before) == MAX_BLOCKS:
            self._source.fail(f"at most {MAX_BLOCKS} RAM blocks", f"block {name!r}")
        if length % self.page_size or length > left:
            self._source.fail(
                f"RAM blocks of whole {self.page_size}-byte pages that sum to the total, "
                f"{left:#x} bytes left",
                f"block {name!r} of {length:#x} bytes",
            )
        if self.ignore_shared:
            yield from self._source.skip(8)  # the block's guest physical address
        block = BlockEntry(name, length, self.page_size)
        if self.mapped_at is not None:
            self._emit((yield from read_mapped_block(self._source, block, self.mapped_at)))
        return block

    def _flush(self, start: int) -> None:
        if not self._listed:
            self._source.fail("the block list", "MULTIFD_FLUSH")
        if self.mode == "section":
            self._source.fail("no MULTIFD_FLUSH where ram's START had none", "MULTIFD_FLUSH")
        self.mode = "round"
        self._mark(start)

    def _end_of_section(self, start: int) -> None:
        if not self._listed:
            self._source.fail("the block list", "the end of ram's START")
        self.mode = self.mode or "section"
        if self.mode == "section":
            self._mark(start)

    def _mark(self, start: int) -> None:
        self._emit(SyncMark(start, self._source.offset, self._marks))
        self._marks += 1
