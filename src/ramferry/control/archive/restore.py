"""``ramferry restore``: a saved guest into a QEMU that waits with ``-incoming defer``.

What can be refused before anything is sent is refused then: another machine type, a damaged file.
The pages are checked as they are sent, and the part of the stream with which QEMU may start the
guest comes after the last of them. From then on (``control.archive.handover``) nothing is cancelled
before the QEMU was asked, and every error says what was seen there.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from ramferry.control.archive.archive_settings import restore_settings
from ramferry.control.archive.callbacks import ArchiveHooks
from ramferry.control.archive.handover import NOT_STARTED, HandOver
from ramferry.control.archive.ways import way_to
from ramferry.control.hosts.host import HERE, Host
from ramferry.control.qemu.end import QemuEnd, open_end
from ramferry.control.qemu.fit import check_saved
from ramferry.control.qemu.ready import check_destination, refuse_tls
from ramferry.errors import (
    Cancelled,
    MigrationFailed,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
)
from ramferry.flows.archive.reader import Archive
from ramferry.flows.ends.archive_source import replay
from ramferry.flows.outlet.outgoing import Outgoing
from ramferry.flows.settings import SendSettings
from ramferry.metrics import ArchiveResult
from ramferry.transport.address import parse_address

_QEMUS: Final = (MigrationFailed, PeerUnreachable, PeerTimeout)
"""Errors whose cause the QEMU may know."""

PROGRESS_SECONDS: Final = 0.1
"""Seconds between two reports of progress: reports for each of the 4096 chunks of 2 GiB took 0.35
s."""


def restore(
    path: Path, uri: str, channels: int, hooks: ArchiveHooks, host: Host = HERE
) -> ArchiveResult:
    """Restore the guest in ``path`` into the QEMU at ``uri``, on ``host``.

    :raise HostError: the file cannot be read, or the library of its method is not here.
    :raise UsageError: the file is not a save file, or the QEMU has another machine type or does not
        wait for a guest.
    :raise CorruptDataError: the file is damaged; the guest was not started.
    :raise MethodUnavailable: the QEMU has TLS set.
    :raise PeerUnreachable: the QEMU does not answer, or vanished.
    :raise PeerTimeout: it stopped answering; the sentence says what was seen of the guest.
    :raise MigrationFailed: the QEMU refused the guest.
    :raise Cancelled: ``hooks.stop`` ended it; the sentence says whether the guest is there.
    """
    with ExitStack() as stack:
        archive = stack.enter_context(Archive(path))
        # later the QEMU would listen already, and could not be used again
        archive.require_codec()
        destination = stack.enter_context(open_end("destination", uri, host))
        check_destination(destination)
        refuse_tls(destination)
        check_saved(archive, destination)
        folder = stack.enter_context(destination.party.folder())
        folder.require(writes=True)
        stack.callback(destination.restore_or_tell, hooks.note)
        way = stack.enter_context(way_to(archive, destination, f"{folder.path}/restore", channels))
        destination.apply(restore_settings(destination.facts, way.method_there, channels))
        folder.hand_over()
        destination.listen(way.listens)
        settings = SendSettings(
            parse_address(way.address),
            way.method,
            channels=channels,
            page_size=archive.directory.page_size,
            uuid=_uuid(archive, destination),
            security=way.security,
        )
        return _send(archive, destination, settings, hooks, framed=way.framed)


def _uuid(archive: Archive, destination: QemuEnd) -> bytes:
    """The UUID for the channels' first packets: the destination's if it tells it, else the saved
    one."""
    expected = destination.facts.uuid
    return expected.bytes if expected else bytes.fromhex(archive.directory.uuid)


def _send(
    archive: Archive,
    destination: QemuEnd,
    settings: SendSettings,
    hooks: ArchiveHooks,
    *,
    framed: bool,
) -> ArchiveResult:
    begun, cpu = time.monotonic(), time.process_time()
    live, due = archive.live, begun

    def look() -> None:
        nonlocal due
        if hooks.stop.is_set():
            raise Cancelled(NOT_STARTED)
        if time.monotonic() >= due:
            due = time.monotonic() + PROGRESS_SECONDS
            hooks.progress(outgoing.counters(), live)

    ending = HandOver(destination, hooks)
    with Outgoing(settings) as outgoing:
        try:
            replay(archive, outgoing, look, ending.look, framed=framed)
        except RamferryError as error:
            raise ending.told(_explained(error, destination)) from error
    state = ending.settled()
    spent = time.monotonic() - begun, time.process_time() - cpu
    result = _result(archive, settings, spent, state)
    return replace(result, backend=_backend(archive, framed=framed))


def _result(
    archive: Archive, settings: SendSettings, spent: tuple[float, float], state: str
) -> ArchiveResult:
    """:param spent: seconds that have passed, and of CPU."""
    directory = archive.directory
    guest = archive.live * directory.page_size
    return ArchiveResult(
        action="restored",
        file=str(archive.path),
        machine=directory.machine,
        method=directory.method,
        level=directory.level,
        backend=archive.backend,
        channels=settings.channels,
        total_time_ms=round(spent[0] * 1000),
        downtime_ms=None,
        normal_bytes=guest,
        file_bytes=archive.size,
        ratio=guest / archive.size,
        cpu_seconds=spent[1],
        run_state=state,
    )


def _backend(archive: Archive, *, framed: bool) -> str:
    """Who inflated: QEMU, this process, or both if the file has chunks with older copies of
    pages."""
    qemu = "QEMU" if framed else ""
    return " + ".join(filter(None, (qemu, archive.backend)))


def _explained(error: RamferryError, destination: QemuEnd) -> RamferryError:
    """The error, with QEMU's own words if QEMU may know the cause."""
    said = destination.error() if destination.connected else ""
    if said and said not in str(error) and isinstance(error, _QEMUS):
        return error.reworded(f"{error} (QEMU: {said})")
    return error
