"""The two guests of a trial, and the sight of their life: from outside, whatever a monitor says."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from migrating import MIB, PAGE
from numpy.typing import NDArray

from ramferry.bench import boot_sector
from ramferry.bench.builtin import BuiltIn
from ramferry.bench.fill import fill
from ramferry.bench.qemu import Qemu, QemuBinary, find_qemus
from ramferry.control.qemu.qmp import Qmp
from ramferry.errors import RamferryError

MEMORY = 32 * MIB
BUSY = 4 * MIB
"""The upper part, which the guest keeps writing; the rest holds mixed data."""
RATE = 6.0
"""MB/s that it writes: a migration at 16 MB/s has a round or two behind its first."""
NAME = ("-name", "guest,process=qemu-campaign")
"""10.0 runs under its own dynamic linker, whose name a monitor on a TCP port would not pass for."""
ASK_SECONDS = 2.0
GLANCE_SECONDS = 0.3
"""For a built-in guest to tell its beats."""
SAMPLE_SECONDS = 0.02
WINDOW = 10
"""Samples that are looked at together: 0.2 s."""
ALIVE = 6
"""So many of them show another count than the one before while a guest runs: it counts 100 times a
second. What a migration writes to a guest that waits comes once a round."""


class Peer(Protocol):
    """A guest's process, its RAM, and how far its guest has counted."""

    ram: NDArray[np.uint8]
    folder: Path
    uri: str
    qmp: Qmp

    @property
    def pid(self) -> int: ...

    @property
    def alive(self) -> bool: ...

    def stderr(self) -> str: ...


@functools.cache
def binary(name: str) -> QemuBinary:
    """The QEMU of that version; where this host has none, the one that it has instead."""
    found = sorted(find_qemus(), key=lambda one: one.version)
    return next((one for one in found if one.name == name), found[0])


@functools.cache
def _data() -> NDArray[np.uint8]:
    data = np.zeros(MEMORY - BUSY, np.uint8)
    fill(data, low=boot_sector.FIRST)
    return data


@contextmanager
def two_peers(
    source: str, destination: str, *, paused: bool = False
) -> Iterator[tuple[Peer, Peer]]:
    """A source whose guest runs, or has run, and a destination that waits for it."""
    if source == "built-in":
        work = ["--workload", "sequential", "--rate", f"{RATE}M", "--changed", "1024"]
        with (
            BuiltIn(MEMORY, work) as here,
            BuiltIn(MEMORY, ["--incoming", "defer"]) as there,
        ):
            first_life(here)
            _pause(here, paused)
            yield here, there
        return
    older = min(binary(source), binary(destination), key=lambda one: one.version)
    machine = older.machine
    boot = boot_sector.boot_sector(MEMORY, first=MEMORY - BUSY, rate=RATE)
    with (
        Qemu(binary(source), MEMORY, machine=machine, boot=boot, options=NAME) as sends,
        Qemu(
            binary(destination),
            MEMORY,
            machine=machine,
            boot=boot,
            incoming=True,
            paused=False,
            options=NAME,
        ) as receives,
    ):
        sends.ram[boot_sector.FIRST : MEMORY - BUSY] = _data()[boot_sector.FIRST :]
        sends.qmp.execute("cont")
        first_life(sends)
        _pause(sends, paused)
        yield sends, receives


def _pause(peer: Peer, paused: bool) -> None:
    if paused:
        peer.qmp.execute("stop")


def pulse(peer: Peer) -> int:
    """How often this guest has been seen to tick: in its memory, or where it is a process of ours
    by that process; -1 where that does not answer."""
    if isinstance(peer, Qemu):
        return boot_sector.state(peer.ram).beats
    with suppress(RamferryError):
        return int(peer.qmp.execute("x-query-guest", timeout=GLANCE_SECONDS)["beats"])
    return -1


def ask(peer: Peer, command: str, member: str) -> Any:
    """A member of a query's answer; None where the monitor does not answer."""
    with suppress(RamferryError):
        return peer.qmp.execute(command, timeout=ASK_SECONDS).get(member)
    return None


def memory_fault(peer: Peer, version: str) -> str:
    """Stop the process and look at its guest's memory; what is wrong with it, or ""."""
    if isinstance(peer, BuiltIn):
        peer.qmp.execute("stop", timeout=ASK_SECONDS)
        bad = peer.bad_pages()
        return f"{bad} pages are not as the guest wrote them" if bad else ""
    os.kill(peer.pid, signal.SIGSTOP)
    kept = peer.ram[boot_sector.FIRST : MEMORY - BUSY].reshape(-1, PAGE)
    bad = int((kept != _data()[boot_sector.FIRST :].reshape(-1, PAGE)).any(axis=1).sum())
    if bad:
        return f"{bad} pages that the guest never writes have changed"
    if version == "7.2":
        return ""  # its TCG loses writes to busy pages in any live migration
    verdict = boot_sector.verify(peer.ram)
    return "" if verdict.ok else str(verdict)


class Life:
    """Looks at both guests all the time; a context manager that does so."""

    def __init__(self, source: Peer, destination: Peer) -> None:
        self._peers = (source, destination)
        self._seen = (deque[int](maxlen=WINDOW), deque[int](maxlen=WINDOW))
        self.running = (False, False)
        """Whether each runs, by the last 0.2 s."""
        self.overlap = 0.0
        """Seconds in which both ran."""
        self.ran_there = 0.0
        """Seconds that the destination's guest has run."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="life", daemon=True)

    def __enter__(self) -> Life:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._end.wait(SAMPLE_SECONDS):
            for seen, peer in zip(self._seen, self._peers, strict=True):
                count = pulse(peer)
                seen.append(count if count >= 0 or not seen else seen[-1])
            self.running = (_grows(self._seen[0]), _grows(self._seen[1]))
            now = time.monotonic()
            if all(self.running):
                self.overlap += now - last
            if self.running[1]:
                self.ran_there += now - last
            last = now


def _grows(counts: deque[int]) -> bool:
    return sum(before < now for before, now in pairwise(counts)) >= ALIVE


def first_life(peer: Peer, seconds: float = 30.0) -> None:
    """Wait until a source's guest counts.

    :raise AssertionError: it does not.
    """
    deadline = time.monotonic() + seconds
    begin = pulse(peer)
    while pulse(peer) < begin + 20:
        assert time.monotonic() < deadline, "the source's guest does not run"
        time.sleep(SAMPLE_SECONDS)
