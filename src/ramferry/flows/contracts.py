"""Pages between a flow's ends: what a sender is given, and where a receiver puts what it gets.

A sender asks a ``Batch`` for its pages in the thread of the channel that will carry them, so that
gathering, reading and checking run in parallel. A receiver gives what it inflated to a ``Sink``:
guest memory, or a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ramferry.errors import RamferryError, RemoteProtocolError
from ramferry.ram.blocks import Offsets as Offsets
from ramferry.vocabulary import Buffer
from ramferry.wire.events import RamBlock
from ramferry.wire.ram import Mode

"""Byte offsets of pages in their RAM block, multiples of the page size."""
MAX_PAGES: Final = 1 << 32
"""Of a guest whose pages are counted one by one: their numbers have 32 bits, and what is remembered
of each takes memory."""


def check_ram(sizes: Iterable[int], page_size: int) -> None:
    """See that a guest's RAM blocks can be counted page by page, before anything is allocated.

    :param sizes: bytes of each block, as a peer or a file names them.
    :raise RemoteProtocolError: they are more than ``MAX_PAGES``: 16 TiB in pages of 4 KiB.
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
    """The normal pages' bytes one after another, of format ``B``; valid until the next call of
    whoever handed them out."""
    payload: Sequence[Buffer] = ()
    """Their payload by the channel's method, where whoever handed them out has it; ``data`` is
    empty then."""


class Batch(Protocol):
    """One packet's worth of pages that are still to be fetched."""

    def load(self, buffer: memoryview) -> Pages:
        """Fetch the pages; called once, in the thread of the channel that carries them.

        :param buffer: ``PACKET_BYTES`` of the channel's own, for ``Pages.data`` where the pages do
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
    blocks: Sequence[RamBlock]
    """In the order of the stream."""
    mode: Mode
    """Which record is the sync mark: "section" or "round"."""
    uuid: bytes
    """16 bytes, from the channels' initial packets: zeros where the guest has none."""

    def __post_init__(self) -> None:
        """:raise RemoteProtocolError: the guest has more RAM than a sink can take."""
        check_ram((block.used_length for block in self.blocks), self.page_size)


@dataclass(frozen=True, slots=True)
class MainStream:
    """The main channel without its pages: what has to come first, in between and last.

    All parts are verbatim, but for OPEN_RETURN_PATH and PING, which are left out.
    """

    head: bytes
    """From ``QEVM`` to the last entry of the block list: no mark, EOS or footer behind it."""
    ram_section: int
    """Section id of ram."""
    between: bytes
    """Other sections and commands between ram's START and its END, in their order."""
    tail: bytes
    """Everything behind the footer of ram's END, up to the end of stream."""


class ChannelSink(Protocol):
    """Takes one multifd channel's pages, in that channel's thread."""

    def room(self, block: str, normal: Offsets) -> memoryview | None:
        """Where these pages may be received or inflated, so that nobody has to copy them.

        What is written there counts only with the call of ``pages`` that has it as its ``data``; a
        migration that fails in between leaves it half written.

        :return: None if the channel is to use memory of its own.
        """

    def pages(self, pages: Pages) -> None:
        """Take pages; ``pages.data`` is the channel's again on return.

        Within one round no page comes twice, on whatever channel.

        :raise RamferryError: they cannot be taken; that fails the migration.
        """


class Sink(Protocol):
    """Takes a whole migration. Methods are called from main's thread where not said otherwise."""

    def begin(self, head: StreamHead) -> None:
        """The block list was read and bounded; no page has been handed over yet.

        :raise RamferryError: this guest cannot be taken; that fails the migration.
        """

    def channel(self, channel_id: int) -> ChannelSink:
        """The place for one channel's pages; called in that channel's thread, after ``begin``."""

    def main_pages(self, pages: Pages) -> None:
        """Take pages that came on main: zero pages of QEMU before 9.0, and small blocks."""

    def mark(self, index: int) -> None:
        """Sync mark ``index``: all that came before it has been taken, and every channel waits.

        Not called for a source without multifd channels.
        """

    def finish(self, stream: MainStream) -> None:
        """The stream was read to its end: load the device state, bring a file to disk.

        All that takes time and can still be undone: a migration that is stopped meanwhile fails.

        :raise RamferryError: the guest was not taken over; the source's guest runs on.
        """

    def commit(self) -> None:
        """Make it final: give the file its name. No stop is heeded from here on.

        When this returns, the source is told (SHUT) that its guest is here, which cannot be undone.

        :raise RamferryError: the guest was not taken over, and nothing of it is left here; the
            source's guest runs on.
        """

    def taken_over(self) -> None:
        """The source was told, and has no guest any more: one that is here may run, at once.

        Not called where it could not be told, since it then goes on with its guest.
        """

    def abort(self, error: RamferryError) -> None:
        """The migration failed; nothing is called after this. ``finish`` may have come before."""
