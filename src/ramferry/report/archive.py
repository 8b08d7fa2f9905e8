"""What ``save`` and ``restore`` print: a line while they work, a few lines at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Self

from rich.console import Console
from rich.status import Status

from ramferry.metrics import ArchiveResult
from ramferry.report import document as documents
from ramferry.units import memory, rate
from ramferry.vocabulary import POSTMIGRATE


class Activity:
    """A context manager that shows a changing line on a terminal, and elsewhere nothing."""

    def __init__(self, console: Console) -> None:
        self._status: Status | None = Status("", console=console) if console.is_terminal else None

    def show(self, text: Callable[[], str]) -> None:
        """Replace the line."""
        if self._status is not None:
            self._status.update(text())

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._status is not None:
            self._status.stop()


def sentences(result: ArchiveResult) -> list[str]:
    """The lines that are printed at the end."""
    seconds = max(result.total_time_ms, 1) / 1000
    level = "" if result.level is None else f" {result.level}"
    lines = [
        f"{result.action} {result.machine} in {seconds:.1f} s: {memory(result.normal_bytes)} of "
        f"pages, {memory(result.file_bytes)} of file ({result.ratio:.2f}:1), "
        f"{rate(result.normal_bytes / seconds)}",
        f"{result.method}{level} by {result.backend}, {result.channels} channels, "
        f"{result.cpu_seconds:.1f} s of CPU",
    ]
    if result.downtime_ms is not None:
        lines.append(f"downtime {result.downtime_ms} ms")
    lines.append(_guest(result))
    lines += [
        f"disk {one.disk!r}: the file belongs to {one.image} as it is, and the guest's writes go "
        f"to {one.overlay}"
        for one in result.overlays
    ]
    return lines


def _guest(result: ArchiveResult) -> str:
    """How the guest is, and what lets it run if it stands still."""
    state = result.run_state
    if result.action == "restored":
        still = state in ("paused", "prelaunch")
        return f"the guest is {state}" + (": `cont` at its monitor lets it run" * still)
    if state != POSTMIGRATE:
        return f"the guest is {state}"
    first = "" if result.overlays else "copy its disks, then "
    return f"the guest stands still ({state}): {first}`cont` at its monitor lets it run on"


def document(result: ArchiveResult) -> dict[str, object]:
    """The result for ``--json``."""
    return documents.document("archive", asdict(result))
