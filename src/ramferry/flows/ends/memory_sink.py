"""Receives a migration into guest memory of this process."""

from __future__ import annotations

from collections.abc import Callable

from ramferry.errors import MigrationFailed, RamferryError
from ramferry.flows.contracts import MainStream, Offsets, Pages, StreamHead
from ramferry.ram.blocks import Ram


class _Channel:
    """Writes one channel's pages to memory."""

    def __init__(self, ram: Ram) -> None:
        self._ram = ram
        self._room: memoryview | None = None

    def room(self, block: str, normal: Offsets) -> memoryview | None:
        """Guest memory itself, if the pages lie side by side; else None."""
        self._room = self._ram.blocks[block].window(normal)
        return self._room

    def pages(self, pages: Pages) -> None:
        """Write pages with content, unless they are in place already, and clear zero pages."""
        block = self._ram.blocks[pages.block]
        if len(pages.normal) and pages.data is not self._room:
            block.scatter(pages.normal, pages.data)
        if len(pages.zero):
            block.clear(pages.zero)
        self._room = None


class MemorySink:
    """Puts pages into guest memory; a :class:`~ramferry.flows.contracts.Sink`.

    Zero pages are cleared explicitly, whatever the memory held before.
    """

    def __init__(
        self,
        ram: Ram,
        load_state: Callable[[MainStream], None],
        taken_over: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :param ram: the caller's, with the blocks' names and sizes that the stream is to have.
        :param load_state: called with main's parts when every page is in place; if it raises, the
            migration fails.
        :param taken_over: called when the source has no guest any more.
        """
        self._ram = ram
        self._load_state = load_state
        self._taken_over = taken_over
        self._main = _Channel(ram)

    def begin(self, head: StreamHead) -> None:
        """Check that the guest has the RAM blocks and the page size of this memory.

        :raise MigrationFailed: it has others.
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
                    f"{here.get(name, 'none')} here"
                )

    def channel(self, channel_id: int) -> _Channel:  # noqa: ARG002
        """One for each channel; they need no lock, as no two write the same page."""
        return _Channel(self._ram)

    def main_pages(self, pages: Pages) -> None:
        """Write pages that came on main."""
        self._main.pages(pages)

    def mark(self, index: int) -> None:
        """Nothing to do."""

    def finish(self, stream: MainStream) -> None:
        """Load the device state."""
        self._load_state(stream)

    def commit(self) -> None:
        """Nothing to do: everything is in memory."""

    def taken_over(self) -> None:
        """Call ``taken_over``, so that the guest may run."""
        self._taken_over()

    def abort(self, error: RamferryError) -> None:
        """Nothing to do: the memory's owner sees the failure from the result."""
