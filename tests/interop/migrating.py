"""Two real QEMUs and a migration between them: set up by QMP, watched, compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ramferry.bench import boot_sector
from ramferry.bench.qemu import Qemu, QemuBinary

MIB = 1024 * 1024
PAGE = 4096
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Pair:
    """Which QEMU sends and which receives."""

    source: QemuBinary
    destination: QemuBinary

    @property
    def machine(self) -> str:
        """The machine type that both have: the older one's."""
        return min(self.source, self.destination, key=lambda binary: binary.version).machine


@contextmanager
def two_qemus(
    pair: Pair, memory: int, *, boot: bytes = b"", options: Sequence[str] = ()
) -> Iterator[tuple[Qemu, Qemu]]:
    """A source whose guest is paused, and a destination that waits and will not run its guest."""
    machine = pair.machine
    with (
        Qemu(pair.source, memory, machine=machine, boot=boot, options=options) as source,
        Qemu(
            pair.destination, memory, machine=machine, boot=boot, options=options, incoming=True
        ) as destination,
    ):
        yield source, destination


def prepare(
    qemu: Qemu, method: str, channels: int, parameters: Mapping[str, object] | None = None
) -> None:
    """Set what both ends of a multifd migration need; ``parameters`` are further ones."""
    capabilities = [
        {"capability": name, "state": True} for name in ("multifd", "return-path", "events")
    ]
    qemu.qmp.execute("migrate-set-capabilities", {"capabilities": capabilities})
    settings: dict[str, object] = {
        "multifd-channels": channels,
        "multifd-compression": method,
        "max-bandwidth": 0,
    }
    qemu.qmp.execute("migrate-set-parameters", {**settings, **(parameters or {})})


def listen(destination: Qemu, method: str, channels: int, address: str | None = None) -> str:
    """Prepare a destination and have it listen; the migration URI, with the port it got.

    ``address`` is a migration URI; a unix socket of the destination's folder by default.
    """
    prepare(destination, method, channels)
    address = address or f"unix:{destination.folder}/incoming"
    destination.qmp.execute("migrate-incoming", {"uri": address})
    if address.startswith("unix:"):
        return address
    (bound,) = destination.qmp.execute("query-migrate")["socket-address"]
    return f"tcp:{bound['host']}:{bound['port']}"


def status(qemu: Qemu) -> str:
    """The migration status; "" before there was a migration."""
    answer: dict[str, Any] = qemu.qmp.execute("query-migrate")
    return str(answer.get("status", ""))


def run_state(qemu: Qemu) -> str:
    """The guest's state, as ``query-status`` names it."""
    answer: dict[str, Any] = qemu.qmp.execute("query-status")
    return str(answer["status"])


def until(what: str, true: Callable[[], bool], seconds: float) -> None:
    """Poll until something is true.

    :raise AssertionError: it did not become true in time.
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come to pass within {seconds:g} s"
        time.sleep(POLL_SECONDS)


def wait_ended(qemu: Qemu, seconds: float) -> str:
    """Wait until the source's migration has ended in whatever way; how."""
    until("the end of the migration", lambda: status(qemu) in ENDED, seconds)
    return status(qemu)


ENDED = frozenset({"completed", "failed", "cancelled"})
CANCELLED = frozenset({"cancelled", "failed"})
"""How a migration that is cancelled may end: QEMU ends the return path before it notes the cancel,
and a thread of its own may see the one first."""


def migrate(source: Qemu, uri: str, method: str, channels: int, seconds: float = 30) -> None:
    """Migrate from a prepared-to-be source to ``uri`` and see it completed."""
    prepare(source, method, channels)
    source.qmp.execute("migrate", {"uri": uri})
    ended = wait_ended(source, seconds)
    why = source.qmp.execute("query-migrate").get("error-desc", "no reason given")
    assert ended == "completed", f"{ended}: {why}; {source.stderr()}"


def wait_arrived(destination: Qemu, seconds: float = 10) -> None:
    """Wait until a destination that was told not to run its guest has all of it."""
    until("the guest's arrival", lambda: status(destination) == "completed", seconds)
    assert run_state(destination) in ("paused", "prelaunch")


def wait_left(source: Qemu, seconds: float = 10) -> None:
    """Wait until the guest of a source whose migration has completed has left it: a QEMU says
    "completed" a moment before its run state says so."""
    until("the guest's leaving", lambda: run_state(source) == "postmigrate", seconds)


def assert_same_ram(source: Qemu, destination: Qemu) -> None:
    """Compare the two guests' RAM, every bit of it."""
    rows = (source.ram.reshape(-1, PAGE) != destination.ram.reshape(-1, PAGE)).any(axis=1)
    differing = np.flatnonzero(rows)
    assert not len(differing), f"{len(differing)} pages differ: {differing[:8].tolist()}"


def start_guest(source: Qemu, seconds: float = 30) -> None:
    """Let a boot sector's guest run until it has begun its second pass over its pages."""
    source.qmp.execute("cont")
    until("a first pass of the guest", lambda: second_pass(source), seconds)


def second_pass(qemu: Qemu) -> bool:
    """Whether every page of the guest's range carries its pattern."""
    first, end, *_ = boot_sector.PARAMETERS.unpack(qemu.ram[0x7C00:0x7E00].tobytes())
    return boot_sector.state(qemu.ram).written * PAGE > end - first > 0


def assert_guest_goes_on(destination: Qemu, seconds: float = 10) -> None:
    """Let the guest run at the destination, see its counters grow, and check its memory again."""
    before = boot_sector.state(destination.ram)
    destination.qmp.execute("cont")
    until(
        "life at the destination",
        lambda: (
            boot_sector.state(destination.ram).beats >= before.beats + 5
            and boot_sector.state(destination.ram).written > before.written
        ),
        seconds,
    )
    destination.qmp.execute("stop")
    verdict = boot_sector.verify(destination.ram)
    assert verdict.ok, verdict
