"""A pair of relays between the two hosts of ``libvirting``, started by hand as the recipes say."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libvirting import ADDRESSES, NAMES, LibvirtHosts
from sshing import until

from ramferry.metrics import RelayResult
from ramferry.typed import decode

ALPHA, BETA = NAMES


@dataclass
class HostRelay:
    """A relay of one of the hosts; it carries one migration after the other."""

    process: subprocess.Popen[str]
    said: Path
    told: Path
    events: Path

    @property
    def uri(self) -> str:
        """Where it listens."""
        until("a relay listens", lambda: self._events("listening") or not self.alive)
        assert self.alive, self.words()
        return str(self._events("listening")[0]["uri"])

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def words(self) -> str:
        """All that it said."""
        return self.said.read_text()

    def results(self, count: int) -> list[RelayResult]:
        """Its results, once there are so many."""
        until(f"result {count} of a relay", lambda: len(self._lines()) >= count)
        return [decode(line, RelayResult) for line in self._lines()]

    def _lines(self) -> list[bytes]:
        whole = self.told.read_bytes() if self.told.exists() else b""
        return whole.splitlines() if whole.endswith(b"\n") else []

    def wait_completed(self) -> None:
        """Wait until the last migration that it told of has completed."""
        until("a relay has carried one", lambda: self.results(1)[-1].completed)

    def pages(self) -> int:
        """Pages that it has carried of the migration under way, or of the last one."""
        counted = self._events("progress")
        return int(counted[-1]["normal_pages"]) if counted else 0

    def _events(self, kind: str) -> list[dict[str, Any]]:
        lines = self.events.read_bytes().split(b"\n")[:-1]
        events: list[dict[str, Any]] = [decode(line) for line in lines]
        return [event for event in events if event["event"] == kind]

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def relay(hosts: LibvirtHosts, host: str, listen: str, connect: str, *options: object) -> HostRelay:
    """Start a relay on a host; it listens."""
    number = sum(1 for _ in (hosts.folder / host).glob("relay-*.log"))
    folder = hosts.folder / host
    said, told, events = (folder / f"relay-{number}.{kind}" for kind in ("log", "json", "events"))
    with said.open("w") as output, events.open("w") as counters:
        line = (hosts.two.installed, "relay", listen, connect, "--json", told, "--events", *options)
        process = hosts.start(host, *line, stdout=counters, stderr=output)
    made = HostRelay(process, said, told, events)
    assert made.uri
    return made


@contextlib.contextmanager
def relay_pair(
    hosts: LibvirtHosts, near: str, far: str, *options: object, method: str = "qatzip"
) -> Iterator[tuple[HostRelay, HostRelay]]:
    """Relays from alpha, whose QEMU connects to ``near``, to beta, whose QEMU listens at ``far``;
    alpha's comes first.

    :param options: of alpha's relay.
    """
    with contextlib.ExitStack() as stack:
        last = relay(
            hosts, BETA, f"relay:{ADDRESSES[BETA]}:0", far, "--method", "none", "--insecure"
        )
        stack.callback(end, last)
        line = (last.uri, "--method", method, "--insecure", *options)
        first = relay(hosts, ALPHA, near, *line)
        stack.callback(end, first)
        yield first, last


def end(relay: HostRelay) -> None:
    """End a relay; it is killed, and that is an error, if it does not heed that."""
    relay.process.terminate()
    try:
        relay.process.wait(10)
    except subprocess.TimeoutExpired:
        relay.kill()
        raise
