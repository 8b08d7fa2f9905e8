"""Prints what a pair of relays holds with several migrations under way, for docs/performance.md.

    PYTHONPATH=tests .venv/bin/python tools/footprints.py [--scrapes 20]

Each migration stands still behind its first pages: every channel has sent two full packets, which
have arrived, and neither end says more. With ``--scrapes``, for docs/metrics.md, the relays serve
metrics, which takes memory of its own, and are asked so many times on each row, once a second. What
a relay does otherwise in that moment counts as well, some 6 ms a second. No QEMU is needed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from fakes_destination import FakeDestination
from fakes_many import LONG, uuid_of
from fakes_relay import until
from fakes_source import FakeSource
from fakes_wire import Guest, Script
from ramferry.transport.address import UnixAddress, parse_address
from ramferry.vocabulary import PACKET_BYTES, PAGE_SIZE
from relay_process import RelayProcess, scrape

PACKETS = 2
"""Of each channel: where one has a place to wait in, the other is in work."""
STEADY = 1.0
"""Seconds for which memory has to stay as it is …"""
WITHIN = 1 << 18
"""… but for so many bytes."""
EVERY = 1.0
"""Seconds from scrape to scrape: what is asked again at once finds its code in the cache."""
EACH = {"near": "zstd", "far": "none"}
"""The relays, and what each sends."""


class Large(Guest):
    """A guest with memory for full packets on every channel."""

    @property
    def blocks(self) -> dict[str, int]:
        return {"pc.ram": self.channels * self.packets * PACKET_BYTES}


class Standing:
    """Two relays at ``relay:``, and migrations through them that stand still."""

    def __init__(self, stack: ExitStack, channels: int, most: int, *, metrics: bool) -> None:
        self._stack = stack
        self._channels = channels
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footprints-")))
        self.relays: dict[str, RelayProcess] = {}
        self._start("far", "relay:127.0.0.1:0", f"unix:{self._folder}/{{uuid}}", most, metrics)
        self._start("near", "tcp:127.0.0.1:0", self.relays["far"].uri, most, metrics)
        self.count = 0

    def _start(self, name: str, listen: str, connect: str, most: int, metrics: bool) -> None:
        options = ["--method", EACH[name], "--max-migrations", str(most), "--insecure"]
        if metrics:
            options += ["--metrics", f"unix:{self._metrics(name)}"]
        relay = RelayProcess(self._folder / f"{name}.log", listen, connect, *options)
        self._stack.callback(relay.end)
        self.relays[name] = relay

    def _metrics(self, name: str) -> Path:
        """The socket of a relay's metrics."""
        return self._folder / f"{name}.metrics"

    def add(self) -> None:
        """One migration more; wait until all that its source sends has arrived."""
        self.count += 1
        guest = Large(
            "none",
            channels=self._channels,
            packets=PACKETS,
            pages=PACKET_BYTES // PAGE_SIZE,
            uuid=uuid_of(self.count),
            seed=self.count,
        )
        script = Script(guest)
        # each channel has sent its pages and a SYNC; the mark that belongs to it does not come
        script.stop(script.find("part"))
        place = UnixAddress(f"{self._folder}/{UUID(bytes=guest.uuid)}")
        destination = FakeDestination(place, guest, "none")
        self._stack.callback(destination.close)
        # as from a host of its own, as in fakes_many
        source = FakeSource(parse_address(self.relays["near"].uri), script, f"127.0.1.{self.count}")
        self._stack.callback(source.close)
        until(lambda: set(destination.syncs.values()) == {2}, LONG, "all pages arrive")
        assert not destination.faults, destination.faults

    def held(self, name: str) -> tuple[int, int]:
        """Resident bytes and descriptors of a relay, once its memory does not change any more."""
        relay = self.relays[name]
        memory, since, least = relay.resident(), time.monotonic(), relay.descriptors()

        def steady() -> bool:
            nonlocal memory, since, least
            if abs(relay.resident() - memory) > WITHIN:
                memory, since, least = relay.resident(), time.monotonic(), relay.descriptors()
            # a relay that looks at itself has a file of /proc open for a moment
            least = min(least, relay.descriptors())
            return time.monotonic() - since >= STEADY

        until(steady, LONG, f"the memory of the {name} relay stays as it is")
        return memory, least

    def costs(self, scrapes: int) -> dict[str, list[float]]:
        """CPU seconds of each relay for each scrape; a first one does not count."""
        found: dict[str, list[float]] = {name: [] for name in EACH}
        for _ in range(scrapes + 1):
            for name, costs in found.items():
                begun = self.relays[name].cpu_seconds()
                assert "ramferry_migrations_under_way" in scrape(self._metrics(name))
                costs.append(self.relays[name].cpu_seconds() - begun)
            time.sleep(EVERY)
        return {name: costs[1:] for name, costs in found.items()}


def spread(costs: list[float]) -> str:
    """Median, least and most, in ms."""
    most = f"{min(costs) * 1000:.1f} to {max(costs) * 1000:.1f}"
    return f"{statistics.median(costs) * 1000:.1f} ({most})"


def main() -> None:
    """Print a row for each number of migrations."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--migrations", default="0,1,2,4,8", help="a row for each number of them")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--scrapes", type=int, default=0, help="ask for metrics so often a row")
    options = parser.parse_args()
    counts = sorted({int(one) for one in options.migrations.split(",")})
    scrapes: int = options.scrapes
    head = ["migrations", "near, MB", "far, MB", "descriptors, near and far"]
    head += [f"a scrape, {name}, ms of CPU" for name in EACH if scrapes]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    with ExitStack() as stack:
        # a relay takes one migration at least
        pair = Standing(stack, options.channels, max(1, *counts), metrics=bool(scrapes))
        for count in counts:
            while pair.count < count:
                pair.add()
            (near, near_open), (far, far_open) = pair.held("near"), pair.held("far")
            row = [f"{count}", f"{near / 1e6:.0f}", f"{far / 1e6:.0f}", f"{near_open}, {far_open}"]
            if scrapes:
                row += [spread(costs) for costs in pair.costs(scrapes).values()]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
