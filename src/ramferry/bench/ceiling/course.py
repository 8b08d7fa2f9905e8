"""One run: a relay between writers and readers, looked at twice while it carries.

This process plays both QEMUs' main channels, which carry next to nothing, and makes their
connections; then it hands each channel's two sockets to a writer and a reader.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from ramferry.bench.ceiling import gil
from ramferry.bench.ceiling.children import Children
from ramferry.bench.ceiling.measured import Sample
from ramferry.bench.ceiling.stand import Stand
from ramferry.bench.ceiling.wish import Wish
from ramferry.transport.tempfolder import TempFolder
from ramferry.typed import decode

_WARM: Final = 0.15
"""Seconds before the first look: every buffer was used once by then."""
_SLACK: Final = 0.1
"""Seconds that the writers go on after the second look."""
_GLANCE: Final = 0.0005
"""Seconds between two looks at the GIL. They take the process that looks 3 % of a core."""


@dataclass(frozen=True, slots=True)
class Course:
    """What was seen."""

    first: Sample
    last: Sample
    held: float | None
    """The share of the time between both in which a thread of the relay held the GIL; None if it
    has none, or it cannot be seen."""
    memory: int
    """The relay's memory at the second look, in bytes (PSS)."""
    packets: int
    """With pages, in all: as many as were written, and as arrived."""


def run(wish: Wish, stop: threading.Event) -> Course:
    """Make one run.

    :raise Cancelled: ``stop`` was set.
    :raise HostError: a process ended early, or other bytes arrived than were sent.
    :raise PeerTimeout: the relay, or a peer, does not go on.
    """
    ours, theirs = _split(wish.cores)
    with (
        TempFolder.for_sockets() as folder,
        _on(theirs),
        Children(folder.path, stop) as children,
        Stand(wish, folder.path, children, ours) as stand,
    ):
        stand.begin(_WARM + wish.seconds + _SLACK)
        children.pause(_WARM)
        first = _look(stand)
        glances = _Glances(stand)
        children.pause(wish.seconds, glances.look, _GLANCE)
        last = _look(stand)
        memory = int(stand.ask("weigh"))
        return Course(first, last, glances.share, memory, stand.finish())


def _look(stand: Stand) -> Sample:
    return decode(stand.ask("look"), Sample)


class _Glances:
    """Looks at the relay's GIL, counted."""

    def __init__(self, stand: Stand) -> None:
        self._looker: Callable[[], bool | None] | None = None
        if stand.gil:
            self._looker = gil.looker(stand.relay.process.pid, stand.gil)
        self._count = self._held = 0

    def look(self) -> None:
        held = None if self._looker is None else self._looker()
        if held is not None:
            self._held += held
            self._count += 1

    @property
    def share(self) -> float | None:
        return self._held / self._count if self._count else None


def _split(cores: int) -> tuple[Collection[int], Collection[int]]:
    """The cores of the relay, and those of everything else."""
    here = sorted(os.sched_getaffinity(0))
    if not cores:
        return here, here
    return here[:cores], here[cores:] or here


@contextmanager
def _on(cores: Collection[int]) -> Iterator[None]:
    """This thread, and what it starts, runs on these cores for as long as the block runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
