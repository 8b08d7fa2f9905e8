"""A migration into guest memory of this process."""

from __future__ import annotations

from collections.abc import Callable

from ramferry.errors import MigrationFailed, RamferryError
from ramferry.flows.contracts import MainStream, Offsets, Pages, StreamHead
from ramferry.ram.blocks import Ram


class _Channel:
    """One channel's way into memory."""

    def __init__(self, ram: Ram) -> None:
        self._ram = ram
        self._room: memoryview | None = None

    def room(self, block: str, normal: Offsets) -> memoryview | None:
        """Guest memory itself, where the pages lie side by side."""
        self._room = self._ram.blocks[block].window(normal)
        return self._room

    def pages(self, pages: Pages) -> None:
        """Write pages with content, unless they are there already, and fill those without."""
        block = self._ram.blocks[pages.block]
        if len(pages.normal) and pages.data is not self._room:
            block.scatter(pages.normal, pages.data)
        if len(pages.zero):
            block.clear(pages.zero)
        self._room = None


class MemorySink:
    """Puts pages where they belong; a :class:`~ramferry.flows.contracts.Sink`.

    Zero pages are filled explicitly: nothing is assumed about what the memory held before.
    """

    def __init__(
        self,
        ram: Ram,
        load_state: Callable[[MainStream], None],
        taken_over: Callable[[], None] = lambda: None,
    ) -> None:
        """:param ram: blocks of the names and sizes that will come.
        :param load_state: called with the whole of main when every page is in place; what it
            raises fails the migration.
        :param taken_over: called when the source has no guest any more.
        """
        self._ram = ram
        self._load_state = load_state
        self._taken_over = taken_over
        self._main = _Channel(ram)

    def begin(self, head: StreamHead) -> None:
        """See that this is the guest for which there is memory.

        :raise MigrationFailed: its RAM blocks or pages are others.
        """
        if head.page_size != self._ram.page_size:
            raise MigrationFailed(
                f"the guest's pages have {head.page_size} bytes, the memory here "
                f"{self._ram.page_size}"
            )
        come = {block.name: block.used_length for block in head.blocks}
        here = {block.name: block.size for block in self._ram.blocks.values()}
        for name in [*come, *here]:
            if come.get(name) != here.get(name):
                raise MigrationFailed(
                    f"RAM block {name!r} has {come.get(name, 'no')} bytes at the source and "
                    f"{here.get(name, 'no')} here"
                )

    def channel(self, channel_id: int) -> _Channel:  # noqa: ARG002
        """Channels write to pages of their own: there is nothing to keep apart."""
        return _Channel(self._ram)

    def main_pages(self, pages: Pages) -> None:
        """Write them."""
        self._main.pages(pages)

    def mark(self, index: int) -> None:
        """Nothing waits for a mark here."""

    def finish(self, stream: MainStream) -> None:
        """Load the device state."""
        self._load_state(stream)

    def commit(self) -> None:
        """Nothing is left to do: all of it is in memory."""

    def taken_over(self) -> None:
        """Whoever waits for that may let the guest run."""
        self._taken_over()

    def abort(self, error: RamferryError) -> None:
        """What the memory holds is of no use; its owner knows from the result."""
