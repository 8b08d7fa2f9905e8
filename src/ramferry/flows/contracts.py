"""What a sender takes pages from, and what a receiver gives them to.

A sender asks a ``Batch`` for its pages in the thread of the channel that will carry them, so that
gathering, reading and checking run in parallel. A receiver gives inflated pages to a ``Sink``:
guest memory, or a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ramferry.errors import RamferryError, RemoteProtocolError
from ramferry.ram.blocks import Offsets as Offsets
from ramferry.vocabulary import Buffer
from ramferry.wire.events import BlockEntry
from ramferry.wire.ram import Mode

"""Byte offsets of pages in their RAM block, multiples of the page size."""
MAX_PAGES: Final = 1 << 32
"""Most pages of a guest whose pages are counted one by one: page numbers have 32 bits, and what is
remembered of each page takes memory."""


def check_ram(sizes: Iterable[int], page_size: int) -> None:
    """Check, before anything is allocated, that a guest has at most ``MAX_PAGES`` pages.

    :param sizes: bytes of each block, as a peer or a file names them.
    :raise RemoteProtocolError: it has more: with pages of 4 KiB, more than 16 TiB.
    """
    total, most = sum(sizes), MAX_PAGES * page_size
    if total > most:
        raise RemoteProtocolError(
            f"at most {most >> 40} TiB of RAM in pages of {page_size} bytes", f"{total} bytes"
        )


@dataclass(frozen=True, slots=True)
class Pages:
    """At most one packet's worth of pages of one RAM block."""

    block: str
    normal: Offsets
    """Pages with content, in the order of ``data``."""
    zero: Offsets
    """Pages of zeros only."""
    data: memoryview
    """The normal pages' bytes one after another, of format ``B``. They belong to whoever made this
    object, and are valid until its next call."""
    payload: Sequence[Buffer] = ()
    """The normal pages as a payload of the channel's method, if the maker has them so; ``data`` is
    empty then."""


class Batch(Protocol):
    """One packet's worth of pages that are still to be fetched."""

    def load(self, buffer: memoryview) -> Pages:
        """Fetch the pages; called once, in the thread of the channel that carries them.

        :param buffer: ``PACKET_BYTES`` of the channel's memory, for ``Pages.data`` if the pages do
            not lie side by side in memory already. May be DMA memory of a device.
        :raise RamferryError: they cannot be had; that ends the migration.
        """


@dataclass(frozen=True, slots=True)
class StreamHead:
    """What the main channel says before the first page."""

    machine: str
    """The machine type's versioned name; empty if the stream has none."""
    page_size: int
    """Target page size in bytes."""
    blocks: Sequence[BlockEntry]
    """In the order of the stream."""
    mode: Mode
    """Which record is the sync mark: "section" or "round"."""
    uuid: bytes
    """16 bytes, from the channels' initial packets; zeros if the guest has none."""

    def __post_init__(self) -> None:
        """:raise RemoteProtocolError: the guest has more RAM than a sink can take."""
        check_ram((block.used_length for block in self.blocks), self.page_size)


@dataclass(frozen=True, slots=True)
class MainStream:
    """The main channel without its pages, in parts.

    All parts are as they came, without OPEN_RETURN_PATH and PING.
    """

    head: bytes
    """From ``QEVM`` to the last entry of the block list, without the mark, EOS or footer after
    it."""
    ram_section: int
    """Section id of ram."""
    between: bytes
    """Other sections and commands between ram's START and END, in their order."""
    tail: bytes
    """Everything after the footer of ram's END, up to the end of the stream."""


class ChannelSink(Protocol):
    """Takes one multifd channel's pages, in that channel's thread."""

    def room(self, block: str, normal: Offsets) -> memoryview | None:
        """Memory into which these pages may be received or inflated, so that they need not be
        copied.

        The content counts only after a call of ``pages`` with this memory as ``data``; a migration
        that fails before may leave it half written.

        :return: None if the channel is to use its own memory.
        """

    def pages(self, pages: Pages) -> None:
        """Take pages; ``pages.data`` belongs to the channel again on return.

        Within one round no page comes twice, not even on different channels.

        :raise RamferryError: they cannot be taken; that fails the migration.
        """


class Sink(Protocol):
    """Takes a whole migration. Methods are called from main's thread unless they say otherwise."""

    def begin(self, head: StreamHead) -> None:
        """Called once the block list was read and bounded, before any page.

        :raise RamferryError: this guest cannot be taken; that fails the migration.
        """

    def channel(self, channel_id: int) -> ChannelSink:
        """What takes one channel's pages; called in that channel's thread, after ``begin``."""

    def main_pages(self, pages: Pages) -> None:
        """Take pages that came on main: zero pages of QEMU before 9.0, and small blocks."""

    def mark(self, index: int) -> None:
        """Called at sync mark ``index``: all earlier pages have been taken, and every channel
        waits.

        Not called if the source has no multifd channels.
        """

    def finish(self, stream: MainStream) -> None:
        """Called at the end of the stream: load the device state, or bring a file to disk.

        This may take time and can still be undone: a migration that is stopped meanwhile fails.

        :raise RamferryError: the guest was not taken over; the source's guest runs on.
        """

    def commit(self) -> None:
        """Make it final, for example give the file its name. From here on it is too late to stop.

        When this returns, the source is told by SHUT that its guest is here, which cannot be
        undone.

        :raise RamferryError: the guest was not taken over, and nothing of it is left here; the
            source's guest runs on.
        """

    def taken_over(self) -> None:
        """Called once the source was told: it has no guest any more, and the guest here may run.

        Not called if the source could not be told, since it then goes on with its guest. A source
        that asks for the outcome does not: it is told then.
        """

    def abort(self, error: RamferryError) -> None:
        """The migration failed, possibly after ``finish``. Nothing is called after this."""
