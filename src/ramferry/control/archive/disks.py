"""The disks that a guest may write, and whether each can be given an overlay beside its image."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

from ramferry.control.qemu.end import QemuEnd
from ramferry.errors import HostError, UsageError

FORMATS: Final = frozenset(
    {"file", "parallels", "qcow", "qcow2", "qed", "raw", "vdi", "vhdx", "vmdk", "vpc"}
)
"""Image formats that an overlay can name as that of its backing file. Filters (throttle, quorum …)
and anything that is not an image are not among them."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that the guest may write, on an image file."""

    name: str
    node: str
    """Name of the device's block node, whose place an overlay takes."""
    image: Path
    """The image's absolute path as the QEMU sees it."""
    seen: Path
    """The same file's path for this process, without links; the two may have different root
    directories."""
    folder: Path
    """The folder of ``image``, as a path for this process: overlays are made there."""


def refuse_writable_disks(source: QemuEnd) -> None:
    """:raise UsageError: the guest could change a disk after its memory was saved."""
    for disk in _writable(source):
        raise UsageError(
            f"the guest writes to disk {_name(disk)!r}: running on would leave the saved memory "
            "without the disk that belongs to it; add --disk-snapshot, or save without --resume"
        )


def disks_for_overlays(source: QemuEnd) -> tuple[Disk, ...]:
    """The disks that the guest may write, after checking that each can be given an overlay.

    :raise UsageError: one of them cannot.
    :raise HostError: this user may not write beside an image.
    """
    found = {str(disk["inserted"]["node-name"]): disk for disk in _writable(source)}
    nodes = source.execute("query-named-block-nodes", {"flat": True}) if found else []
    files = {str(node["file"]) for node in nodes if node["drv"] == "file"}
    return tuple(_disk(source, node, disk, files) for node, disk in found.items())


def _writable(source: QemuEnd) -> list[Mapping[str, Any]]:
    """The entries of ``query-block`` with a medium that is not read-only."""
    return [
        device
        for device in source.execute("query-block")
        if device.get("inserted") and not device["inserted"].get("ro", False)
    ]


def _name(device: Mapping[str, Any]) -> str:
    """The name that an operator knows the disk by: the node's name if ``-blockdev`` made it."""
    named = device.get("device") or device.get("qdev") or device["inserted"].get("node-name")
    return str(named or "?")


def _disk(source: QemuEnd, node: str, device: Mapping[str, Any], files: set[str]) -> Disk:
    """
    :param files: the names, as QEMU gives them, of the files that nodes of driver ``file`` have
        open.
    """
    name, file = _name(device), str(device["inserted"]["file"])
    if device["inserted"]["drv"] not in FORMATS or file not in files:
        # QEMU writes what no plain name can say as json:{…}
        raise _cannot(name, f"it is not on an image file, but on {file}")
    if not os.path.isabs(file) and "/" in file:
        raise _cannot(
            name,
            f"the QEMU was given its image as {file}, which means another file in the folder "
            "where the overlay would be",
        )
    image, seen, folder = _seen(source, name, file)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise HostError(f"no overlay can be made beside {image}: its folder may not be written")
    return Disk(name, node, image, seen, folder)


def _seen(source: QemuEnd, name: str, file: str) -> tuple[Path, Path, Path]:
    """The image's absolute path, its path for this process, and its folder's path for this
    process."""
    process = source.party.process
    if process is None:
        raise _cannot(name, f"the QEMU's files cannot be seen from here, {file} among them")
    try:
        image = Path(process.folder, file)
        seen, folder = process.found(str(image)), process.found(str(image.parent))
        regular = S_ISREG(seen.stat().st_mode)
    except OSError as error:
        raise _cannot(name, f"its image {file} cannot be seen: {error.strerror}") from error
    if not regular:
        raise _cannot(name, f"its image {image} is no regular file")
    return image, seen, folder


def _cannot(name: str, why: str) -> UsageError:
    return UsageError(
        f"disk {name!r} cannot be given an overlay: {why}; save without --disk-snapshot and "
        "--resume, and copy the disk by its own means while the guest stands still"
    )
