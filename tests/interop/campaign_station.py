"""One ``ramferry`` process of a trial: what it said, and how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ramferry.bench.monitored import dies_with_us

START_SECONDS = 30.0
POLL_SECONDS = 0.01


class Station:
    """One process; its output goes to files."""

    def __init__(
        self,
        name: str,
        folder: Path,
        arguments: list[str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """:param environment: variables beside those of this process."""
        self.name = name
        self.once = "--once" in arguments or arguments[0] != "relay"
        """Whether it ends with its migration, whose exit code is then its own."""
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        self.temporary = folder / f"{name}-tmp"
        self.temporary.mkdir()
        self._counted: int | None = None
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*dies_with_us(), sys.executable, "-m", "ramferry", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "TMPDIR": str(self.temporary), **(environment or {})},
                process_group=0,
            )

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    @property
    def busy(self) -> bool:
        """Whether there is something to wait for: a relay that stays has only to tell a result."""
        return self.alive and not (not self.once and self.results())

    @property
    def code(self) -> int | None:
        """The exit code of its migration; None where a relay that stays has seen none."""
        if self.once or self.process.returncode:
            return self.process.returncode
        told = self.results()[: self._counted]
        return int(told[0]["exit_code"]) if told else None

    def count(self) -> None:
        """What follows is another migration's."""
        self._counted = len(self.results())

    def told(self) -> list[str]:
        """What it has said on standard error, in lines."""
        return self._err.read_text(errors="replace").splitlines()

    def results(self) -> list[dict[str, Any]]:
        """A relay's results so far."""
        return self._events("finished")

    def sockets(self) -> list[str]:
        """UNIX sockets where it has listened that are still there."""
        uris = [str(event["uri"]) for event in self._events("listening")]
        paths = [uri.partition("unix:")[2] for uri in uris]
        return [path for path in paths if path and os.path.exists(path)]

    def connections(self) -> int:
        """How many sockets it has open."""
        count = 0
        with suppress(OSError):
            for entry in os.scandir(f"/proc/{self.process.pid}/fd"):
                with suppress(OSError):
                    count += os.readlink(entry.path).startswith("socket:")
        return count

    def listening(self) -> str:
        """Wait for a relay's ``listening``; its URI."""
        deadline = time.monotonic() + START_SECONDS
        while self.alive and time.monotonic() < deadline:
            for event in self._events("listening"):
                return str(event["uri"])
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"the relay {self.name} does not listen: {self.told()}")

    def _events(self, kind: str) -> list[dict[str, Any]]:
        whole, _, _ = self._out.read_text(errors="replace").rpartition("\n")
        marked = f'"event": "{kind}"'
        return [json.loads(line) for line in whole.splitlines() if marked in line]
