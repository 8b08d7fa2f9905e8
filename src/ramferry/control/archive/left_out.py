"""Pages that a QEMU may leave out of a migration, because its guest does not use them.

virtio-mem does not send memory that is unplugged, and a balloon with ``free-page-hint`` does not
send what the guest calls free. Of all other blocks every page is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ramferry.control.qemu.end import QemuEnd
from ramferry.errors import MethodUnavailable

_DEVICES: Final = ("/machine/peripheral", "/machine/peripheral-anon")


def may_leave_out(source: QemuEnd) -> Callable[[str], bool]:
    """A function that tells by a RAM block's name whether pages of it may be missing."""
    if _hints_free_pages(source):
        return lambda _: True
    unplugged = _virtio_mem(source)
    # a device's block has the device's own place before its backend's name: "0000:00:02.0/vm0"
    return lambda block: block.rsplit("/", 1)[-1] in unplugged


def _virtio_mem(source: QemuEnd) -> frozenset[str]:
    """The names of the memory backends of virtio-mem devices."""
    try:
        devices = source.execute("query-memory-devices")
    except MethodUnavailable:
        return frozenset()  # a machine without such devices
    return frozenset(
        str(device["data"]["memdev"]).rsplit("/", 1)[-1]
        for device in devices
        if device["type"] == "virtio-mem"
    )


def _hints_free_pages(source: QemuEnd) -> bool:
    for folder in _DEVICES:
        try:
            children = source.execute("qom-list", {"path": folder})
        except MethodUnavailable:
            continue
        for child in children:
            if "virtio-balloon" in child["type"]:
                place = {"path": f"{folder}/{child['name']}", "property": "free-page-hint"}
                if source.execute("qom-get", place):
                    return True
    return False
