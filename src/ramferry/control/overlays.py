"""``--disk-snapshot``: while the guest stands still, its disks go on in overlays.

All of them in one QMP transaction, so that there is one moment to which the images belong. From
then on the guest's writes go to the overlays, also where the save fails later: every sentence
names them.
"""

from __future__ import annotations

import os
import re
import secrets
from itertools import count
from pathlib import Path
from typing import Final

from ramferry.control.disks import Disk
from ramferry.control.end import QemuEnd
from ramferry.errors import HostError, MethodUnavailable, RamferryError
from ramferry.metrics import DiskOverlay
from ramferry.report.archive import overlays_clause

_OWN_SUFFIX: Final = re.compile(r"\.overlay-[0-9]+\.qcow2$")


class DiskSnapshot:
    """The overlays of one save."""

    def __init__(self, source: QemuEnd, disks: tuple[Disk, ...]) -> None:
        """:param disks: what ``take`` is to snapshot; with none it does nothing."""
        self._source = source
        self._disks = disks
        self._claims: list[Path] = []
        self._certain = True
        self.overlays: tuple[DiskOverlay, ...] = ()
        """Where the guest's disks go on; empty before ``take``."""
        self.failure: RamferryError | None = None
        """Why the save cannot go on past the snapshot; set by whoever took it."""

    def __bool__(self) -> bool:
        """Whether there is a disk to snapshot."""
        return bool(self._disks)

    @property
    def due(self) -> bool:
        """Whether there is a snapshot that is still to be taken."""
        return bool(self) and not self.overlays and self.failure is None

    def take(self) -> None:
        """Give every disk its overlay; the guest must stand still, with its disks active.

        Where QEMU refuses, it has undone what it had begun, and no file is left.

        :raise MethodUnavailable: QEMU refuses.
        :raise HostError: no overlay can be made beside an image.
        :raise PeerTimeout: QEMU does not answer; the disks may be on the overlays.
        """
        try:
            overlays = tuple(self._claim(disk) for disk in self._disks)
        except OSError as error:
            self._discard()
            raise HostError(f"cannot make {error.filename}: {error.strerror}") from error
        self.overlays, self._certain = overlays, False
        try:
            self._source.execute("transaction", {"actions": [_action(one) for one in overlays]})
        except MethodUnavailable:
            self.overlays, self._certain = (), True
            self._discard()
            raise
        self._certain = True

    def told(self, error: RamferryError) -> RamferryError:
        """The error with a clause about the overlays, where there are any."""
        if not self.overlays:
            return error
        clause = overlays_clause(self.overlays, certain=self._certain)
        return type(error)(f"{error}; {clause}")

    def _claim(self, disk: Disk) -> DiskOverlay:
        """Make an empty file under a name that nothing has, for those who may use the image.

        QEMU itself would write over whatever has the name, and give anybody leave to read it.
        """
        image = disk.seen.stat()
        stem = _OWN_SUFFIX.sub("", disk.image.name)
        for number in count(1):
            name = f"{stem}.overlay-{number}.qcow2"
            path = disk.seen.with_name(name)
            try:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            except FileExistsError:
                continue
            self._claims.append(path)
            try:
                if os.geteuid() == 0:
                    os.fchown(descriptor, image.st_uid, image.st_gid)
                os.fchmod(descriptor, image.st_mode & 0o777)
            finally:
                os.close(descriptor)
            break
        return DiskOverlay(
            disk=disk.name,
            image=str(disk.image),
            image_node=disk.node,
            overlay=str(disk.image.with_name(name)),
            overlay_node=f"ramferry-{secrets.token_hex(6)}",
        )

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
