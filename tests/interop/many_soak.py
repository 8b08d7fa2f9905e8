"""Guests that migrate again and again, all at a time, through one pair of relays, under faults.

Each guest has a QEMU, memory that no other guest has, and a UUID; its destination waits at a socket
that is named by it. After each migration exactly one copy of the guest lives, with its own memory.
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np
from guests import state
from migrating import ENDED, MIB, listen, prepare, status, until
from qemu_faults import QemuFault, wait_let_go

import raw_sockets
from fault_proxy import Proxy
from ramferry.bench import boot_sector
from ramferry.bench.qemu import Qemu, QemuBinary
from ramferry.errors import PeerTimeout, RamferryError
from ramferry.transport.address import UnixAddress
from relay_process import RelayProcess

MEMORY = 32 * MIB
BUSY = 2 * MIB
"""The upper part, which the guest keeps writing."""
OWN = 4 * MIB
"""Bytes from ``boot_sector.FIRST`` on that no other guest has."""
CHANNELS = 2
METHOD = "zstd"
SECONDS = 60.0
"""For anything that one migration may take."""
DECIDE = 5
KEPT = 60.0
"""Seconds within which relays have forgotten a migration that was agreed on and did not come (30 s
and those of ``--decide``)."""
TOO_LATE = "of them cancelled when the destination had the guest"
HANGS = "source QEMU hangs"
KEEPS = "source QEMU keeps its channels"
FAULTS = ("", "", "", "", "reset", "cancel", "kill")
"""What happens to a migration: nothing, as a rule; one of its connections between the relays is
reset; it is cancelled at the source; its destination is killed."""


@dataclass
class Course:
    """What was done, and what was wrong."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    rss: list[tuple[float, int, int]] = field(default_factory=list)
    """When, and the resident bytes of both relays."""
    descriptors: list[tuple[int, int]] = field(default_factory=list)
    """Of both relays: before the first migration, and after the last."""
    most_at_once: int = 0
    """Most migrations that were seen under way at a time."""


class Soak:
    """One pair of relays, and guests that use it."""

    def __init__(self, binary: QemuBinary, migrations: int, seed: int) -> None:
        self.course = Course()
        self._binary = binary
        self._count = migrations
        self._seed = seed
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._under_way: set[int] = set()
        self._excused: Counter[int] = Counter()
        """How often a source, by its process, was cancelled too late: its guest ran twice."""
        self._relays: list[RelayProcess] = []
        self._folder = Path()
        self._proxy: Proxy

    def run(self, seconds: float) -> Course:
        """Migrate for so long, then each guest once more without a fault."""
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="many-")))
            self._start_relays(stack)
            self.course.descriptors.append(self._open_descriptors())
            threads = [
                threading.Thread(target=self._live, args=(number,)) for number in range(self._count)
            ]
            for thread in threads:
                thread.start()
            try:
                self._watch(seconds)
            finally:
                self._over.set()
            for thread in threads:
                thread.join()
            with suppress(AssertionError):
                until("idle relays", self._idle, KEPT)
            self.course.descriptors.append(self._open_descriptors())
            self._check_relays()
        return self.course

    # --- the relays

    def _start_relays(self, stack: ExitStack) -> None:
        at = [self._folder / name for name in ("near", "between", "far")]
        named = f"unix:{self._folder}/{{uuid}}"
        self._relay(stack, f"relay:unix:{at[2]}", named, "none")
        self._proxy = Proxy(UnixAddress(str(at[1])), UnixAddress(str(at[2])))
        stack.callback(self._proxy.close)
        self._relay(stack, f"unix:{at[0]}", f"relay:unix:{at[1]}", METHOD)

    def _relay(self, stack: ExitStack, listen: str, connect: str, method: str) -> None:
        relay = RelayProcess(
            self._folder / f"log{len(self._relays)}",
            listen,
            connect,
            *("--method", method),
            *("--max-migrations", str(self._count)),
            *("--stall-timeout", "30"),
            *("--decide", str(DECIDE)),
            *("--log-format", "json"),
        )
        self._relays.append(relay)
        stack.callback(relay.end)

    def _watch(self, seconds: float) -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < seconds and not self.course.wrong:
            near, far = (one.resident() for one in self._relays[::-1])
            self.course.rss.append((time.monotonic() - begun, near, far))
            self._proxy.forget_ended()
            self._over.wait(1.0)

    def _open_descriptors(self) -> tuple[int, int]:
        far, near = (one.descriptors() for one in self._relays)
        return near, far

    def _idle(self) -> bool:
        before = self.course.descriptors[0]
        return all(now <= then for now, then in zip(self._open_descriptors(), before, strict=True))

    def _check_relays(self) -> None:
        before, after = self.course.descriptors
        if after > before:
            self._blame(f"descriptors of the relays: {before} before, {after} after")
        for one in self._relays:
            if one.process.poll() is not None:
                self._blame(f"a relay ended with {one.process.returncode}")

    def log(self, number: int | None = None) -> str:
        """What both relays said; of one guest, if there is a number."""
        said = "\n".join(path.read_text() for path in sorted(self._folder.glob("log*")))
        if number is None:
            return said
        own = str(_uuid(number))
        return "\n".join(line for line in said.splitlines() if own in line)

    # --- the guests

    def _live(self, number: int) -> None:
        dice = random.Random(f"{self._seed} {number}")
        try:
            while not self._over.is_set():
                with ExitStack() as home:
                    self._stay(home, number, dice)
        except Exception as error:
            self._blame(f"guest {number}: {error!r}")

    def _stay(self, home: ExitStack, number: int, dice: random.Random) -> None:
        """Migrate one guest to and fro, until the end or until it is killed where it has come."""
        here: Qemu | None = home.enter_context(self._qemu(number, incoming=False))
        assert here is not None
        here.ram[boot_sector.FIRST : boot_sector.FIRST + OWN] = _memory(number)
        here.qmp.execute("cont")
        while here is not None and not self._over.is_set():
            here = self._move(home, number, here, dice.choice(FAULTS), dice.random())
        if here is not None:
            self._move(home, number, here, "", 0.0, must=True)

    def _qemu(self, number: int, *, incoming: bool) -> Qemu:
        boot = boot_sector.boot_sector(MEMORY, first=MEMORY - BUSY, rate=1)
        options = ("-uuid", str(_uuid(number)))
        return Qemu(
            self._binary, MEMORY, boot=boot, incoming=incoming, paused=not incoming, options=options
        )

    def _move(
        self,
        home: ExitStack,
        number: int,
        here: Qemu,
        fault: str,
        when: float,
        *,
        must: bool = False,
    ) -> Qemu | None:
        """Migrate; the QEMU that has the guest afterwards, the other one is ended. None if it was
        killed with the guest in it already.

        :param home: ends the QEMU that has the guest.
        """
        there = self._qemu(number, incoming=True)
        with ExitStack() as fresh:
            fresh.enter_context(there)
            at = self._folder / str(_uuid(number))
            at.unlink(missing_ok=True)
            listen(there, "none", CHANNELS, f"unix:{at}")
            prepare(here, "none", CHANNELS, {"max-bandwidth": 8 * MIB})
            self._mark(number, under_way=True)
            here.qmp.execute("migrate", {"uri": f"unix:{self._folder}/near"})
            self._strike(fault, when, here, there)
            try:
                until("the end of the migration", lambda: status(here) in ENDED, SECONDS)
            except PeerTimeout:
                return self._hangs(number, here)
            self._mark(number, under_way=False)
            arrived = status(here) == "completed"
            self.course.outcomes[f"{fault or 'no fault'}: {status(here)}"] += 1
            if must and not arrived:
                self._blame(f"guest {number} did not arrive: {self.log(number)}")
            if arrived and fault == "kill":
                return None
            has, lost = (there, here) if arrived else (here, there)
            self._judge(number, has, lost, cancelled=fault == "cancel")
            if arrived:
                home.close()
                home.push(fresh.pop_all())
        return there if arrived else self._again(here)

    def _again(self, here: Qemu) -> Qemu | None:
        """The QEMU whose migration failed, once it may be asked again; None if it never may."""
        try:
            wait_let_go(here)
        except QemuFault:
            self.course.outcomes[KEEPS] += 1
            return None
        return here

    def _strike(self, fault: str, when: float, here: Qemu, there: Qemu) -> None:
        if not fault or self._over.wait(0.1 + when):
            return  # without a fault, or the guests' last migrations have begun
        with suppress(RamferryError, OSError):
            if fault == "cancel":
                here.qmp.execute("migrate_cancel")
            elif fault == "kill":
                there.process.kill()
            elif lines := [one for one in list(self._proxy.lines) if one.near.fileno() >= 0]:
                random.Random(when).choice(lines[-4 * self._count :]).end(raw_sockets.reset)

    def _judge(self, number: int, has: Qemu, lost: Qemu, *, cancelled: bool) -> None:
        """Exactly one of both lives, with the guest's own memory.

        A source that is told to cancel when its destination has the guest already lets its own go
        on, as it does without relays. The relay knows it, and says so if the source had not heard
        it before; `ramferry migrate` asks first.
        """
        until(f"life of guest {number}", lambda: state(has) in ("running", "gone"), SECONDS)
        if state(has) != "running":
            self._blame(f"guest {number} is {state(has)} where it has to run: {self.log(number)}")
        if state(lost) == "running" and not (cancelled and self._knew(number, has)):
            self._blame(f"guest {number} runs twice: {self.log(number)}")
        own = has.ram[boot_sector.FIRST : boot_sector.FIRST + OWN]
        if not np.array_equal(own, _memory(number)):
            self._blame(f"guest {number} has memory that is not its own")

    def _hangs(self, number: int, source: Qemu) -> None:
        """A QEMU 10.0 whose channels break while it sets a migration up may wait for one of them
        for good, with its main lock held. It is replaced if the relay has let go of it."""
        self._mark(number, under_way=False)
        self.course.outcomes[HANGS] += 1
        if not (ended := self._ends(number, source)) or ended[-1] != "failed":
            self._blame(f"guest {number}'s QEMU hangs: {self.log(number)}")

    def _ends(self, number: int, source: Qemu) -> list[str]:
        """The outcomes of a source's migrations, as the near relay told them."""
        lines = [json.loads(line) for line in self.log(number).splitlines()]
        own = f"process {source.process.pid}"
        return [one["outcome"] for one in lines if one.get("source") == own]

    def _knew(self, number: int, source: Qemu) -> bool:
        """Whether the near relay knew, once more, that this source's guest was taken over."""
        pid = source.process.pid
        self._excused[pid] += 1
        with self._lock:
            self.course.outcomes[TOO_LATE] += 1

        def known() -> bool:
            return self._ends(number, source).count("completed") >= self._excused[pid]

        with suppress(AssertionError):
            until("what a relay says of it", known, 3 * DECIDE)
        return known()

    def _mark(self, number: int, *, under_way: bool) -> None:
        with self._lock:
            (self._under_way.add if under_way else self._under_way.discard)(number)
            self.course.most_at_once = max(self.course.most_at_once, len(self._under_way))

    def _blame(self, what: str) -> None:
        with self._lock:
            self.course.wrong.append(what)
        self._over.set()


def _uuid(number: int) -> UUID:
    return UUID(int=0xFE44_0000 + number)


def _memory(number: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.random.default_rng(number).integers(0, 256, OWN, np.uint8)
