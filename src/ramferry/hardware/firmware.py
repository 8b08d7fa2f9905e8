"""Requests that the firmware of QAT devices has counted: whether work reaches a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ramferry.hardware.root import Root, natural

DEBUG: Final = "/sys/kernel/debug"


def firmware_requests(root: Root) -> Mapping[str, int]:
    """Requests that each in-tree device's firmware has taken so far, by its debugfs directory.

    Empty where none can be read: only root may, and only while a device is up. The format is the
    kernel's ``adf_fw_counters.c``: a line for each engine, "<engine>: <requests> <responses>".
    """
    folders = [name for name in root.names(DEBUG) if name.startswith("qat_")]
    tables = {name: root.read(f"{DEBUG}/{name}/fw_counters") for name in folders}
    return {name: _requests(text.content) for name, text in tables.items() if text.content}


def _requests(table: str) -> int:
    rows = [line.replace(":", " ").split() for line in table.splitlines()]
    return sum(
        natural(row[1]) or 0 for row in rows if len(row) == 3 and natural(row[0]) is not None
    )
