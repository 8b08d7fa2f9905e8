"""Who was started by whom in a trial, so that each can be hit, and nobody is left over."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import psutil


class Family:
    """The descendants of some processes, remembered when those have ended."""

    def __init__(self) -> None:
        self._children: dict[int, psutil.Process] = {}

    def note(self, roots: Iterable[int]) -> None:
        """Remember whom these have started by now."""
        for root in roots:
            with suppress(psutil.Error):
                found = psutil.Process(root).children(recursive=True)
                self._children |= {child.pid: child for child in found}

    def find(self, name: str) -> psutil.Process | None:
        """The "near" or "far" relay that a command started, an "ssh", or the far "half"."""
        for child in self._children.values():
            with suppress(psutil.Error):
                if is_named(name, child.cmdline()):
                    return child
        return None

    def living(self) -> list[psutil.Process]:
        """Those that have not ended."""
        found = []
        for child in self._children.values():
            with suppress(psutil.Error):
                if child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
        return found

    def end(self) -> None:
        """End them all."""
        for child in self._children.values():
            with suppress(psutil.Error):
                child.kill()
                child.wait(10)


def is_named(name: str, line: list[str]) -> bool:
    """Whether a command line is that of a process that the campaign calls so."""
    if name == "ssh":
        return bool(line) and line[0].endswith("/ssh") and "-F" in line
    if name == "half":
        return line[-1:] == ["far"] and "ramferry" in line
    beside_source = any("source-relay" in word for word in line)
    return "relay" in line and beside_source == (name == "near")
