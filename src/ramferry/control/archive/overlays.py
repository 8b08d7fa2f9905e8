"""``--disk-snapshot``: while the guest stands still, its disks are switched to overlays.

One QMP transaction does it for all disks, so that the images belong to one moment. From then on the
guest's writes go to the overlays, even if the save fails later, so every error names them.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from ramferry.control.archive.disks import Disk
from ramferry.control.qemu.end import QemuEnd
from ramferry.errors import HostError, MethodUnavailable, RamferryError
from ramferry.metrics import DiskOverlay

_OWN_SUFFIX: Final = re.compile(r"\.overlay-[0-9]+\.qcow2$")


class DiskSnapshot:
    """The overlays of one save."""

    def __init__(self, source: QemuEnd, *, needed: bool) -> None:
        """:param needed: whether there is a disk to snapshot."""
        self._source = source
        self._needed = needed
        self._claims: list[Path] = []
        self._certain = True
        self.overlays: tuple[DiskOverlay, ...] = ()
        """The overlays of the guest's disks; empty before ``take``."""
        self.failure: RamferryError | None = None
        """Why the save cannot go on after the snapshot; set by the caller of ``take``."""

    def __bool__(self) -> bool:
        """Whether there is a disk to snapshot."""
        return self._needed

    @property
    def due(self) -> bool:
        """Whether a snapshot is needed and not taken yet."""
        return self._needed and not self.overlays and self.failure is None

    def take(self, disks: tuple[Disk, ...]) -> None:
        """Give every disk its overlay; the guest must stand still, with its disks active.

        :param disks: as they are now: another client's job may have put another node in a disk's
            place since the save began.
        :raise MethodUnavailable: QEMU refuses. It has undone what it had begun, and no file is
            left.
        :raise HostError: no overlay can be made beside an image.
        :raise PeerTimeout: QEMU does not answer; the disks may be on the overlays.
        """
        try:
            overlays = tuple(self._overlay(disk) for disk in disks)
        except HostError:
            self._discard()
            raise
        self.overlays, self._certain = overlays, False
        try:
            self._source.execute("transaction", {"actions": [_action(one) for one in overlays]})
        except MethodUnavailable:
            self.overlays, self._certain = (), True
            self._discard()
            raise
        self._certain = True

    def told(self, error: RamferryError) -> RamferryError:
        """The error, with a clause about the overlays if there are any."""
        if not self.overlays:
            return error
        clause = overlays_clause(self.overlays, certain=self._certain)
        return error.reworded(f"{error}; {clause}")

    def _overlay(self, disk: Disk) -> DiskOverlay:
        """:raise HostError: no file can be made beside the image."""
        try:
            name = self._claim(disk)
        except OSError as error:
            why = error.strerror
            raise HostError(f"cannot make an overlay beside {disk.image}: {why}") from error
        return DiskOverlay(
            disk=disk.name,
            image=str(disk.image),
            image_node=disk.node,
            overlay=str(disk.image.with_name(name)),
            overlay_node=f"ramferry-{secrets.token_hex(6)}",
        )

    def _claim(self, disk: Disk) -> str:
        """Make an empty file under an unused name, with the image's owner and mode, and return the
        name.

        QEMU itself would overwrite any file of that name, and make a file that everybody may read.
        """
        image = disk.seen.stat()
        stem = _OWN_SUFFIX.sub("", disk.image.name)
        for number in count(1):
            path = disk.folder / f"{stem}.overlay-{number}.qcow2"
            with suppress(FileExistsError):
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                break
        self._claims.append(path)
        try:
            if os.geteuid() == 0:
                os.fchown(descriptor, image.st_uid, image.st_gid)
            os.fchmod(descriptor, image.st_mode & 0o777)
        finally:
            os.close(descriptor)
        return path.name

    def _discard(self) -> None:
        """Remove the empty files."""
        for path in self._claims:
            path.unlink(missing_ok=True)
        self._claims.clear()


def _action(overlay: DiskOverlay) -> dict[str, object]:
    return {
        "type": "blockdev-snapshot-sync",
        "data": {
            "node-name": overlay.image_node,
            "snapshot-file": overlay.overlay,
            "snapshot-node-name": overlay.overlay_node,
            "format": "qcow2",
        },
    }


def overlays_clause(overlays: Sequence[DiskOverlay], *, certain: bool = True) -> str:
    """A clause for an error: where the guest's disks are, and how to get back.

    :param certain: False if QEMU never said whether it made the overlays.
    """
    places = ", ".join(
        f"{one.overlay} over {one.image} (device {one.overlay_node}, base-node {one.image_node})"
        for one in overlays
    )
    are = "are" if certain else "may be (see query-block)"
    return (
        f"the guest's disks {are} on overlays, {places}: where no save file needs the images as "
        "they are, QMP block-commit of each with these, then block-job-complete, merges it back"
    )
