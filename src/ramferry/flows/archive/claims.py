"""Checks what a save file's directory says of its guest against the guest's stream and pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ramferry.errors import CorruptDataError, RemoteProtocolError
from ramferry.flows.archive.format import Directory
from ramferry.flows.contracts import MainStream
from ramferry.flows.recording import devices_of
from ramferry.wire.copying import vm_description
from ramferry.wire.events import (
    BlockList,
    Configuration,
    ConfigurationSubsection,
    MainEvent,
    SectionStart,
)
from ramferry.wire.main import MainParser

_SHARED: Final = "x-ignore-shared"
_VIRTIO_MEM: Final = "virtio-mem"
_HINTS: Final = b"\x05\x26virtio-balloon-device/free-page-report"
"""Name of a balloon's subsection that is there if the guest reports free pages, which need no
copy."""


def check_stream(directory: Directory, stream: MainStream) -> None:
    """Check that main's parts are a stream of the guest that the directory describes.

    :raise CorruptDataError: they are not.
    """
    parser = MainParser(page_size=directory.page_size)
    machine, section, end = "", -1, -1
    blocks: list[tuple[str, int]] = []
    for event in _events(parser, stream.head):
        match event:
            case Configuration():
                machine = event.machine
            case SectionStart():
                section = event.section_id
            case BlockList():
                blocks = [(block.name, block.used_length) for block in event.blocks]
                end = event.end
    if end != len(stream.head) or not vm_description(stream.tail):
        raise CorruptDataError("a stream up to its block list, and its end", "another")
    said = [(block.name, block.size) for block in directory.blocks]
    found = (machine, section, parser.page_size, blocks)
    if found != (directory.machine, directory.ram_section, directory.page_size, said):
        raise CorruptDataError("the directory's machine and RAM blocks in the stream", "others")


def check_coverage(
    directory: Directory, stream: MainStream, missing: Sequence[int]
) -> list[CorruptDataError]:
    """An error for each RAM block with pages that are neither in the file nor zero.

    QEMU may leave out memory without content: what a virtio-mem device has not plugged in, and
    pages that the guest reports as free through its balloon. Those are no error.

    :param missing: number of missing pages of each block.
    """
    if _HINTS in stream.tail:
        return []
    names = [device.name for device in devices_of(vm_description(stream.tail))]
    plugged = tuple(name.removesuffix(_VIRTIO_MEM) for name in names if name.endswith(_VIRTIO_MEM))
    why = f" (it was saved with {_SHARED})" if _shared(stream.head) else ""
    return [
        CorruptDataError(
            f"every page of RAM block {block.name!r}",
            f"a file that lacks {count} of {block.size // directory.page_size}{why}",
        )
        for block, count in zip(directory.blocks, missing, strict=True)
        if count and not block.name.startswith(plugged)
    ]


def _shared(head: bytes) -> bool:
    """Whether the source left shared memory out (x-ignore-shared)."""
    return any(
        isinstance(event, ConfigurationSubsection)
        and isinstance(event.value, tuple)
        and _SHARED in event.value
        for event in _events(MainParser(), head)
    )


def _events(parser: MainParser, head: bytes) -> list[MainEvent]:
    try:
        return parser.feed(head)
    except RemoteProtocolError as error:
        raise CorruptDataError(f"{error.expected} on main", error.received) from None
