"""Frozen records of what is in a save file or in a recorded migration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InspectedBlock:
    """What is in a stream or save file of one RAM block."""

    name: str
    size: int
    """Bytes."""
    pages: int
    """Number of pages with content; a page counts each time that it comes."""
    zero_pages: int
    repeated: int
    """Number of pages, with content or zero, that had come before."""
    payload_bytes: int
    """Bytes that the pages with content take."""
    ratio: float
    """Bytes of the pages with content over ``payload_bytes``; 0 if there are none."""


@dataclass(frozen=True, slots=True)
class InspectedChannel:
    """One connection's recording."""

    name: str
    """ "main", "multifd 0"."""
    method: str
    """Empty if no packet had pages, and for main."""
    size: int
    """Bytes read."""
    packets: int
    syncs: int
    """SYNC packets, or sync marks of main."""


@dataclass(frozen=True, slots=True)
class InspectedDevice:
    """A device that the VM description names."""

    name: str
    instance: int
    version: int
    size: int
    """Bytes of its fields."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is in a save file or in a recorded migration."""

    kind: str
    """ "save file", "main stream", "mapped-ram file", "multifd channel", "recording"."""
    machine: str
    """The machine type's versioned name; empty if the data ends before it."""
    page_size: int
    """Bytes; 0 if a damaged save file does not tell."""
    method: str
    rounds: int
    """Sync marks; 0 if main was not recorded, and for a save file."""
    blocks: tuple[InspectedBlock, ...]
    channels: tuple[InspectedChannel, ...]
    devices: tuple[InspectedDevice, ...]
    fault: str = ""
    """Where the data is damaged, and how; empty if it is not."""
    wrapping: tuple[str, ...] = ()
    """What the recording is wrapped in, outermost first: "a libvirt save image", "gzip"."""
    size: int = 0
    """Bytes of a save file; 0 for a recording, whose channels have their own."""
    created: float = 0.0
    """Seconds since 1970 when a guest was saved; 0 for a recording, or if it is not known."""
