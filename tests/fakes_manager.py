"""A service's manager, as systemd is one: hears what its service tells by sd_notify."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fakes_relay import until

ADDRESS = re.compile(r"STATUS=listening on (\S+);")


class Manager:
    """Listens at a socket of its own."""

    def __init__(self, address: str) -> None:
        """:param address: a path, or a name with @ in the abstract namespace."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address[0] == "@" else address)
        self._socket.setblocking(False)
        self.environ = {"NOTIFY_SOCKET": address}
        """What the service finds in its environment."""
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        """Every line so far."""
        while True:
            try:
                self._heard += self._socket.recv(1 << 16).decode().splitlines()
            except BlockingIOError:
                return self._heard

    def count(self, line: str) -> int:
        """How often a line came."""
        return self.heard().count(line)

    def statuses(self) -> list[str]:
        """Every STATUS so far."""
        return [line for line in self.heard() if line.startswith("STATUS=")]

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def toml(values: Mapping[str, Any]) -> str:
    """A file that sets these keys; the values are texts, numbers, booleans and lists of texts."""
    lines = [f"{key.replace('_', '-')} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


class Served:
    """``ramferry relay`` as a manager starts it, by a file."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        under: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        **keys: Any,
    ) -> None:
        """
        :param under: the command that starts it, before its own command line.
        :param keys: of its file.
        """
        file = folder / f"{name}.toml"
        file.write_text(toml(keys))
        self._log = folder / f"{name}.log"
        self.manager = Manager(str(folder / f"{name}.notify"))
        with self._log.open("w") as log:
            self.child = subprocess.Popen(
                [*under, sys.executable, "-m", "ramferry", "relay", "--config", str(file)],
                env={**os.environ, **self.manager.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def ready(self) -> str:
        """Wait until it listens; where."""
        until(
            lambda: self.manager.count("READY=1") > 0 or self.child.poll() is not None, 60, "READY"
        )
        found = ADDRESS.match((self.manager.statuses() or [""])[0])
        assert found, self.said()
        return found[1]

    def said(self) -> str:
        """What it has written so far."""
        return self._log.read_text()

    def notes(self, part: str) -> None:
        """Wait until it has written a sentence with this in it."""
        until(lambda: part in self.said() or self.child.poll() is not None, 30, part)
        assert part in self.said(), self.said()

    def end(self, seconds: float = 30) -> int:
        """Wait for its end; its exit code."""
        return self.child.wait(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.child.kill()
        self.child.wait()
        self.manager.close()
