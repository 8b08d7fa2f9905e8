"""A pair of relays between the two hosts of ``libvirting``, started by hand as the recipes say."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from libvirting import ADDRESSES, NAMES, LibvirtHosts
from sshing import until

from ramferry.metrics import RelayResult

ALPHA, BETA = NAMES


@dataclass
class HostRelay:
    """A relay of one of the hosts; it carries one migration after the other."""

    process: subprocess.Popen[str]
    said: Path
    told: Path

    @property
    def uri(self) -> str:
        """Where it listens."""
        until("a relay listens", lambda: "listening on" in self.words() or not self.alive)
        assert self.alive, self.words()
        return self.words().split("listening on ", 1)[1].split()[0]

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
        return [msgspec.json.decode(line, type=RelayResult) for line in self._lines()]

    def _lines(self) -> list[bytes]:
        whole = self.told.read_bytes() if self.told.exists() else b""
        return whole.splitlines() if whole.endswith(b"\n") else []

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def relay(hosts: LibvirtHosts, host: str, listen: str, connect: str, *options: object) -> HostRelay:
    """Start a relay on a host; it listens."""
    number = sum(1 for _ in (hosts.folder / host).glob("relay-*.log"))
    said, told = (hosts.folder / host / f"relay-{number}.{kind}" for kind in ("log", "json"))
    with said.open("w") as output:
        line = (hosts.two.installed, "relay", listen, connect, "--json", told, *options)
        process = hosts.start(host, *line, stdout=output, stderr=output)
    made = HostRelay(process, said, told)
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
        stack.callback(_end, last)
        line = (last.uri, "--method", method, "--insecure", *options)
        first = relay(hosts, ALPHA, near, *line)
        stack.callback(_end, first)
        yield first, last


def _end(relay: HostRelay) -> None:
    relay.process.terminate()
    try:
        relay.process.wait(10)
    except subprocess.TimeoutExpired:
        relay.kill()
        raise
