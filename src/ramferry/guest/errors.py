"""The monitor's refusals, with QEMU's error classes and texts."""

from __future__ import annotations


class MonitorError(Exception):
    """An error that the monitor answers with."""

    def __init__(self, desc: str, kind: str = "GenericError") -> None:
        super().__init__(desc)
        self.kind = kind
        """QMP's error class."""
