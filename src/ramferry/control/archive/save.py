"""``ramferry save``: a QEMU's guest into one file.

The QEMU migrates to a receiver in this process. The file gets its name before the QEMU is told that
its guest was taken. So whatever goes wrong earlier leaves no file, and the guest as it was. If its
disks were snapshotted by then, they stay on their overlays, and every error says so.
"""

from __future__ import annotations

from contextlib import ExitStack
from uuid import UUID

from ramferry.control.archive.archive_settings import save_settings
from ramferry.control.archive.callbacks import ArchiveHooks
from ramferry.control.archive.disks import disks_for_overlays, refuse_writable_disks
from ramferry.control.archive.free_space import room_note
from ramferry.control.archive.guardian import Guardian
from ramferry.control.archive.left_out import may_leave_out
from ramferry.control.archive.overlays import DiskSnapshot
from ramferry.control.archive.saved_guest import SavedGuest
from ramferry.control.archive.saving import SaveCourse
from ramferry.control.archive.ways import refuse_apart, way_from
from ramferry.control.archive.wish import SaveWish
from ramferry.control.hosts.host import HERE, Host
from ramferry.control.qemu.end import QemuEnd, open_end
from ramferry.control.qemu.ready import check_source, lost_writes, refuse_tls
from ramferry.errors import UsageError
from ramferry.flows.ends.archive_sink import ArchiveSink
from ramferry.flows.settings import ReceiveSettings
from ramferry.metrics import ArchiveResult
from ramferry.transport.address import Address
from ramferry.transport.safefile import SafeFile


def save(uri: str, wish: SaveWish, hooks: ArchiveHooks, host: Host = HERE) -> ArchiveResult:
    """Save the guest of the QEMU at ``uri``, on ``host``.

    :raise UsageError: the address, the file or the guest's state makes no sense, the guest is to
        run on with disks that it may write, or one of its disks cannot be snapshotted.
    :raise MethodUnavailable: the QEMU has TLS set, or lacks a capability.
    :raise PeerUnreachable: the QEMU does not answer.
    :raise PeerTimeout: the QEMU stopped answering. For this, RemoteProtocolError and
        MigrationFailed there is no file, and the sentence says where the guest is.
    :raise RemoteProtocolError: the QEMU sent what the protocol forbids.
    :raise MigrationFailed: it ended early for another reason.
    :raise Cancelled: ``hooks.stop``, the time limit or someone at the QEMU ended it.
    :raise HostError: the file cannot be written.
    """
    with ExitStack() as stack:
        source = stack.enter_context(open_end("source", uri, host))
        refuse(source, wish)
        snapshot = DiskSnapshot(
            source, needed=wish.disk_snapshot and bool(disks_for_overlays(source))
        )
        file = stack.enter_context(SafeFile(wish.path, replace=wish.replace, like=None))
        for note in (room_note(source, wish.path), sleep_note(source, resume=wish.resume)):
            if note:
                hooks.note(note)
        lossy = "" if wish.stop else lost_writes(source)
        result = _prepared(stack, source, wish, hooks, file, snapshot).run()
        if lossy:
            hooks.note(f"{lossy}. The file may lack some of its writes: save it again with --stop")
        return result


def _prepared(
    stack: ExitStack,
    source: QemuEnd,
    wish: SaveWish,
    hooks: ArchiveHooks,
    file: SafeFile,
    snapshot: DiskSnapshot,
) -> SaveCourse:
    """Set the QEMU up; closing ``stack`` undoes that."""
    leaves_out = may_leave_out(source)
    sink = ArchiveSink(file, wish.method, wish.level, may_leave_out=leaves_out)
    folder = stack.enter_context(source.party.folder())
    folder.require(writes=False)
    stands = snapshot or wish.stop or wish.stop_after
    guardian = stack.enter_context(Guardian(source.party.uri)) if stands else None
    stack.callback(source.restore_or_tell, hooks.note)
    address = stack.enter_context(way_from(source, wish, f"{folder.path}/save"))
    settings = receive_settings(source, wish, address)
    source.apply(save_settings(source.facts, settings.channels or 0, pause=bool(snapshot)))
    guest = SavedGuest(source, guardian, hooks.insist)
    return SaveCourse(source, wish, hooks, file, sink, settings, snapshot, guest, folder)


def refuse(source: QemuEnd, wish: SaveWish) -> None:
    """Refuse a guest that cannot be saved, before anything is made.

    :raise UsageError: the guest's state makes no sense, or it is to run on with its disks.
    :raise MethodUnavailable: something blocks its migration, or the QEMU has TLS set.
    """
    check_here(source)
    refuse_apart(source, wish)
    check_source(source)
    refuse_tls(source)
    if wish.resume and not wish.disk_snapshot:
        refuse_writable_disks(source)


def receive_settings(source: QemuEnd, wish: SaveWish, address: Address) -> ReceiveSettings:
    """The receiver's settings: multifd channels, or main alone if channels cost more than they
    gain.

    No outcome is kept for a relay that was lost: a file runs no guest, so that two cannot run, and
    the QEMU itself is asked at its monitor how the save ended there.

    If the guest does not run and is to be as it was, it is never handed over: ``cont`` would wake
    it, and QEMU 10.0 aborts at the ``cont`` of a suspended guest ("invalid runstate transition").

    A QEMU 7.2, which spins on its busy channels, takes one of the two cores that compress: 2 GiB of
    Silesia data took 17.0 s of CPU at both ends over 2 channels, and 11.5 to 12.4 s on main, where
    ``exec:zstd -1`` took 13.1 to 15.1 s.
    """
    give_back = wish.resume and source.facts.run_state != "running"
    if not source.facts.spins or source.party.host.apart:
        return ReceiveSettings(address, wish.channels, decide=0.0, give_back=give_back)
    uuid = source.facts.uuid or UUID(int=0)
    return ReceiveSettings(
        address,
        channels=0,
        threads=wish.channels,
        uuid=uuid.bytes,
        decide=0.0,
        give_back=give_back,
    )


def sleep_note(source: QemuEnd, *, resume: bool) -> str:
    """A warning if a suspended guest (ACPI S3) will not be as it was; otherwise empty."""
    if source.facts.run_state != "suspended":
        return ""
    if source.facts.wakes_sleepers:
        return "a QEMU before 9.0 wakes a suspended guest to save it: it is awake in the file, too"
    if not resume:
        return (
            "the guest is suspended, and QEMU aborts at the `cont` of one that was saved so: "
            "--resume leaves it suspended as it is"
        )
    return ""


def check_here(source: QemuEnd) -> None:
    """:raise UsageError: there is no guest yet, or it has been saved or moved already."""
    if source.facts.run_state == "inmigrate":
        raise UsageError(
            f"the QEMU at {source.party.uri} waits for a guest (it is inmigrate): there is none to "
            "save yet"
        )
    if source.facts.run_state == "postmigrate":
        raise UsageError(
            f"the QEMU at {source.party.uri} is postmigrate: its guest was saved before, or has "
            "moved; where it runs nowhere else, `cont` there and save again"
        )
