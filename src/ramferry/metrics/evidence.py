"""Frozen records of what was read of this host, and of what a test job on its device showed.

A relay needs these to know whether a QAT device works; ``metrics.host`` has what only the doctor
and ``ramferry plan`` need.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Evidence:
    """One path and what it held when it was read."""

    path: str
    content: str | None = None
    """A file's text, the end of a link, or mode and owner of a device node; None: nothing read."""
    trouble: str = ""
    """Why nothing was read ("Permission denied"); empty if the path does not exist."""


class Offload(StrEnum):
    """Who did a test job that was meant for a QAT device."""

    DEVICE = "device"
    UNCOUNTED = "uncounted"
    """The output looks like a device's, but the device's firmware counted no request."""
    SOFTWARE = "software"
    """QATzip's library did it on the CPU, without saying so."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class OffloadProof:
    """What compressing ``input_bytes`` at ``level``, and inflating them, through QATzip showed."""

    input_bytes: int
    level: int
    member_xfl: tuple[int, ...]
    """XFL of each gzip-ext member that came out: 0 from hardware, 4 from libqatzip's software."""
    verdict: Offload
    requests_before: int | None = None
    """Firmware requests of all devices; None if only root may read them."""
    requests_after: int | None = None
    trouble: str = ""
    """Why the device did not do it, or the code of the call that failed: "qzInit returned -103 (no
    instance)"; empty if the device did it."""
