"""Which pages were written while a guest's memory is on its way.

Either the kernel tells (:mod:`~ramferry.ram.write_protect`), or digests are compared
(:mod:`~ramferry.ram.digest`). A tracker says which of them it uses, and why.
"""

from __future__ import annotations

from typing import Protocol

from ramferry.errors import HostError, UsageError
from ramferry.ram.blocks import Offsets, Ram
from ramferry.ram.digest import DigestTracker
from ramferry.ram.write_protect import WriteProtectTracker
from ramferry.vocabulary import TRACKERS, Wanted


class DirtyTracker(Protocol):
    """Knows the written pages of one :class:`~ramferry.ram.blocks.Ram`.

    Used from one thread, except for ``sent``.
    """

    @property
    def name(self) -> str:
        """ "uffd-wp" or "digest"."""

    @property
    def why(self) -> str:
        """One sentence: why this tracker is used."""

    @property
    def needs_copies(self) -> bool:
        """Whether ``sent`` has to be told of what is sent, and pages have to be copied for it."""

    def collect(self) -> dict[str, Offsets]:
        """Ascending offsets, for each block, of pages written since the last call, or the start.

        No write is lost: one that comes during the call is seen when the page is read afterwards,
        or found by the next call, or both.

        :raise HostError: the kernel refuses; which pages were written cannot be known any more.
        :raise UsageError: the tracker was closed.
        """

    def sent(self, block: str, offsets: Offsets, data: memoryview | None) -> None:
        """Note pages that are sent; called from any thread, but not while ``collect`` runs.

        If ``needs_copies``, ``collect`` compares a page with what was noted here. So a page that
        changed, was sent, and changed back is not taken for unchanged.

        :param data: the very bytes that are sent, which nobody writes to any more (see ``copy`` of
            :meth:`~ramferry.ram.blocks.RamBlock.gather`); None if the pages were sent as zero
            pages.
        """

    def close(self) -> None:
        """Stop watching the guest's writes."""


def track(ram: Ram, wanted: Wanted = "auto") -> DirtyTracker:
    """Start to watch a guest's memory, by the kernel if it can.

    :param wanted: "uffd-wp" insists on the kernel, "digest" does without it.
    :raise HostError: "uffd-wp" is wanted but not available; the text says why not.
    :raise UsageError: there is no such tracker.
    """
    if wanted not in TRACKERS:
        raise UsageError(f"no dirty tracker {wanted!r}: there are {', '.join(TRACKERS)}")
    if wanted == "digest":
        return DigestTracker(ram, "digests of pages are compared because that was asked for")
    try:
        return WriteProtectTracker(ram)
    except HostError as error:
        if wanted == "uffd-wp":
            raise
        return DigestTracker(ram, f"digests of pages are compared because {error}")
