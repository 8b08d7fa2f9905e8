"""Sends a save file to a destination QEMU, as the stream that the guest's QEMU would have sent.

The tail of the stream, with which the destination may start the guest, is sent only after every
page was read, checked and delivered.
"""

from __future__ import annotations

from collections.abc import Callable

from ramferry.errors import CorruptDataError, RamferryError
from ramferry.flows.archive.reader import Archive
from ramferry.flows.outlet.outgoing import Outgoing
from ramferry.vocabulary import OPEN_RETURN_PATH
from ramferry.wire.events import Configuration, ConfigurationSubsection
from ramferry.wire.grammar import SectionType
from ramferry.wire.main import MainParser
from ramferry.wire.ram import Mode
from ramferry.wire.writer import command, round_end, section, zero_records

_ZERO_RUN = 1 << 16
"""Zero records sent at once: 590 kB of main."""


def replay(
    archive: Archive,
    outgoing: Outgoing,
    progress: Callable[[], None],
    waiting: Callable[[], None],
    *,
    framed: bool = False,
) -> None:
    """Send everything; returns when the destination has taken the guest over.

    :param outgoing: not yet open.
    :param progress: called repeatedly in this thread until the tail. If it raises, the migration
        ends, and the destination cannot start the guest.
    :param waiting: called in this thread before the tail's first byte, and repeatedly from then on
        in place of ``progress``. If it raises, the migration ends; after its first call the
        destination may start the guest at any moment.
    :param framed: send the chunks as they are, by method zstd; else inflate them for ``none``.
    :raise CorruptDataError: the file is damaged; nothing was started.
    :raise MigrationFailed: the destination refused the guest.
    :raise PeerTimeout: a far end that is a Ramferry does not say whether the destination has it.
    """
    mode: Mode = "section" if archive.directory.mode == "section" else "round"
    ram = archive.directory.ram_section
    outgoing.open()
    try:
        outgoing.main(with_return_path(archive.stream.head))
        _end_section(outgoing, ram, mode)
        outgoing.main(section(SectionType.PART, ram))
        _send_zeros(archive, outgoing, progress)
        outgoing.carry(archive.batches(framed=framed), progress)
        _end_section(outgoing, ram, mode)
        outgoing.main(archive.stream.between + section(SectionType.END, ram))
        _end_section(outgoing, ram, mode, synced=False)
        outgoing.hand_over(archive.stream.tail, waiting)
    except RamferryError as error:
        outgoing.abort(error)
        raise


def with_return_path(head: bytes) -> bytes:
    """``head`` with OPEN_RETURN_PATH inserted where a source has it.

    :raise CorruptDataError: ``head`` is not the beginning of a stream.
    """
    place = 0
    for event in MainParser().feed(head):
        if isinstance(event, Configuration | ConfigurationSubsection):
            place = event.end
    if not place:
        raise CorruptDataError("a configuration at the stream's beginning", "none")
    return head[:place] + command(OPEN_RETURN_PATH) + head[place:]


def _end_section(outgoing: Outgoing, ram: int, mode: Mode, *, synced: bool = True) -> None:
    mark, rest = round_end(ram, mode, synced=synced)
    if mark:
        outgoing.sync(mark)
    outgoing.main(rest)


def _send_zeros(archive: Archive, outgoing: Outgoing, progress: Callable[[], None]) -> None:
    """Send zero pages as records on main, which every version understands."""
    for number, block in enumerate(archive.directory.blocks):
        offsets = archive.zero_pages(number)
        for first in range(0, len(offsets), _ZERO_RUN):
            outgoing.main(zero_records(block.name, offsets[first : first + _ZERO_RUN]))
            progress()
