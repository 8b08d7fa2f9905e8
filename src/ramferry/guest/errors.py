"""What a monitor answers where it refuses: QEMU's error classes and texts."""

from __future__ import annotations


class MonitorError(Exception):
    """One QMP error."""

    def __init__(self, desc: str, kind: str = "GenericError") -> None:
        super().__init__(desc)
        self.kind = kind
        """QMP's error class."""
