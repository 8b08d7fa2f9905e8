"""Refuses main channels that cannot be carried, by what comes before the first section and by
commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ramferry.errors import MigrationFailed, RemoteProtocolError
from ramferry.flows.session.plain import Plain
from ramferry.wire.configuration import TARGET_PAGE_BITS
from ramferry.wire.events import (
    BlockList,
    Command,
    ConfigurationSubsection,
    MainEvent,
    SectionStart,
    Unread,
)

_MAX_PREAMBLE: Final = 64 * 1024
"""Most bytes before the first section: header, configuration, commands; some hundred in
practice."""
_PIECE: Final = 4096
_POSTCOPY: Final = "PACKAGED"
_REFUSED: Final = {
    "POSTCOPY_ADVISE": "this migration may switch to postcopy, which {lack}: unset the "
    "postcopy-ram capability",
    "ENABLE_COLO": "this is a COLO migration, which {lack}: unset x-colo",
    "PACKAGED": "the source switched to postcopy, which {lack}",
}


@dataclass(frozen=True, slots=True)
class Words:
    """The parts of the errors that differ between a relay and a receiver."""

    lack: str
    """Follows "which" in the error for postcopy and COLO."""
    page_size: str
    """The error for another page size; has ``{found}``, the guest's, and may have ``{told}``."""
    return_path: str
    """Follows "the source opened no return path, so": what does not work without one."""
    unanswered: str = ""
    """What may be done about that where it is a plain stream; follows ``return_path``."""


RELAYED: Final = Words(
    "a relay does not carry",
    "the guest's pages have {found} bytes: pass --page-size {found}",
    "nobody would learn whether the destination took over: set the return-path capability on both "
    "QEMUs and migrate again",
    unanswered=", or give the source's relay --allow-no-return-path, whose help says what it risks",
)
RECEIVED: Final = Words(
    "needs a QEMU at its end",
    "the guest's pages have {found} bytes, not {told}",
    "it would never learn that its guest was taken over: set the return-path capability on the "
    "source and migrate again",
)


def read_preamble(
    first: bytes,
    feed: Callable[[bytes | memoryview], list[MainEvent]],
    receive: Callable[[memoryview], int],
) -> tuple[memoryview, list[MainEvent]]:
    """Read up to the piece that holds the first section's start; returns all bytes and events so
    far.

    :param first: bytes that were read already.
    :param feed: gives the events of a piece; an ``Unread`` is the last one, and ends the preamble.
    :param receive: receives what there is into a buffer; returns 0 at the end.
    :raise MigrationFailed: the source ended main before that.
    :raise RemoteProtocolError: there is no section where one must be.
    """
    # one piece, however small those are in which it comes: they are not kept
    data, fresh = bytearray(first), feed(first)
    events, buffer = list(fresh), memoryview(bytearray(_PIECE))
    while not any(isinstance(event, SectionStart | Unread) for event in fresh):
        count = receive(buffer)
        if not count:
            raise MigrationFailed("main: the source gave up before it sent any section")
        data += buffer[:count]
        if len(data) > _MAX_PREAMBLE:
            raise RemoteProtocolError(
                f"a section within {_MAX_PREAMBLE} bytes", "none", channel="main"
            )
        fresh = feed(buffer[:count])
        events += fresh
    return memoryview(data), events


class Judge:
    """Refuses streams that cannot be carried; each error says what helps.

    A plain stream between two Ramferrys may do what one with multifd channels may not. Until it is
    known which of them it is, what would be refused is remembered.
    """

    def __init__(self, page_size: int, words: Words, plain: Plain) -> None:
        """:param page_size: the page size that the flow was told."""
        self._page_size = page_size
        self._words = words
        self._plain = plain
        self._return_path = False
        self._remembered: MigrationFailed | None = None

    def look(self, event: MainEvent) -> None:
        """Judge one event of main.

        :raise MigrationFailed: this stream cannot be carried.
        """
        if isinstance(event, Command):
            if event.name == "OPEN_RETURN_PATH":
                self._return_path = True
            elif event.name in _REFUSED and not _for_bitmaps_alone(event):
                self._object(MigrationFailed(_REFUSED[event.name].format(lack=self._words.lack)))
                self._plain.advised |= event.name == "POSTCOPY_ADVISE"
                self._plain.postcopy |= event.name == _POSTCOPY
        elif isinstance(event, BlockList):
            self.need_return_path()
        elif isinstance(event, ConfigurationSubsection):
            self._look_at_pages(event)

    def need_return_path(self) -> None:
        """:raise MigrationFailed: no command so far has opened a return path."""
        if not self._return_path:
            self._object(
                MigrationFailed(f"the source opened no return path, so {self._words.return_path}")
            )

    def decide(self, *, unanswered: bool) -> None:
        """It is known whether this is a plain stream: judge what was seen so far.

        :param unanswered: whether a plain stream may be without a return path.
        :raise MigrationFailed: this stream cannot be carried.
        """
        self._plain.decided = True
        if not self._plain.chosen:
            self._plain.possible = False
            if self._remembered is not None:
                raise self._remembered
            return
        self._plain.unanswered = not self._return_path
        if self._plain.unread:
            # before its first section had come to an end: nobody knows what was to follow
            self._plain.raw = self._plain.unanswered
        elif not (self._return_path or unanswered):
            raise MigrationFailed(
                f"the source opened no return path, so {self._words.return_path}"
                f"{self._words.unanswered}"
            )

    def _object(self, error: MigrationFailed) -> None:
        """:raise MigrationFailed: ``error``, unless this may be, or is, a plain stream."""
        if not (self._plain.possible or self._plain.chosen):
            raise error
        self._remembered = self._remembered or error

    def _look_at_pages(self, event: ConfigurationSubsection) -> None:
        if event.name == TARGET_PAGE_BITS and isinstance(event.value, int):
            found = 1 << event.value
            if found != self._page_size:
                self._object(
                    MigrationFailed(self._words.page_size.format(found=found, told=self._page_size))
                )


def _for_bitmaps_alone(event: Command) -> bool:
    """True for an ADVISE without page sizes: the source has dirty-bitmaps on, but not
    postcopy-ram."""
    return event.name == "POSTCOPY_ADVISE" and not event.data
