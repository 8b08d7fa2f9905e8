"""What ``ramferry bench`` runs: a guest, a link, and the cases to compare over it. Pure.

A scenario is a TOML file, shipped in ``scenarios`` or a person's own; ``scenario_file`` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ramferry.bench.change import Change
from ramferry.control.migrate.route import RelayMode, Wish
from ramferry.errors import HostError, UsageError
from ramferry.report.benchmark.comparison import NATIVE, ROUTES
from ramferry.units import memory, rate
from ramferry.vocabulary import RELAY_PAIR

QEMU: Final = "QEMU"
BUILT_IN_GUEST: Final = "built-in"
GUESTS: Final = (QEMU, BUILT_IN_GUEST)

GENERATOR: Final = "generator"
DATA: Final = "data"
"""The files of RAMFERRY_DATA; the generator where it names none."""

IDLE: Final = "idle"

POSSIBLE: Final = {QEMU: ROUTES, BUILT_IN_GUEST: (RELAY_PAIR, NATIVE)}
"""Kind of guest → the routes of its cases. Native is Ramferry's own sender and receiver, which the
built-in guest has and a QEMU has not: beside a QEMU's guest a built-in one of the same memory and
fill takes it."""

LEAST_MEMORY: Final = 64 << 20
"""The smallest guest, in bytes, whose figures are more than those of its firmware."""
LEAST_HOT: Final = 4 << 20
"""The least memory, in bytes, that a guest keeps dirtying."""
SPARE: Final = 512 << 20
"""What is left to the rest of the machine, in bytes."""
LEAST_RATE: Final = 1000.0
"""Bytes a second below which nothing would ever arrive."""
LEAST_REPEATS: Final = 3
"""Fewer runs of each case show no spread to judge a difference by."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Whose memory moves."""

    kind: str
    """One of ``GUESTS``."""
    memory: int
    """RAM in bytes, whole MiB."""
    scalable: bool
    """Whether a machine with too little memory may run it with less."""
    fill: tuple[str, ...]
    """Paths of files, or ``GENERATOR`` or ``DATA`` alone."""
    dirty_rate: float
    """Bytes of pages a second that the guest writes; 0: it is idle."""
    hot: int
    """Bytes of RAM that a QEMU's guest writes over and over; 0 for any other."""
    random_share: float = 0.0
    """Share of the RAM, at its end, that random bytes fill; 0 for a built-in guest."""

    @property
    def workload(self) -> str:
        """In words, for the document."""
        if not self.dirty_rate:
            return IDLE
        if self.kind == BUILT_IN_GUEST:
            return f"dirties {rate(self.dirty_rate)} of pages, nine in ten of a tenth of them"
        return f"dirties {rate(self.dirty_rate)} of pages in {memory(self.hot)}, over and over"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the comparison."""

    method: str
    level: int | None
    """None: the method's default, or none."""
    channels: int
    route: str
    """One of ``report.benchmark.comparison.ROUTES``."""
    tls: bool = False
    """Whether what goes over the link is encrypted: by QEMU's own TLS, or from relay to relay."""

    def wish(self, tls_creds: str = "") -> Wish:
        """What to ask of the orchestrator over a link that something else limits.

        :param tls_creds: the folder with the certificates of relays that encrypt.
        """
        paired = self.route == RELAY_PAIR
        return Wish(
            method=self.method,
            level=self.level,
            channels=self.channels,
            relay=RelayMode.BOTH if paired else RelayMode.NONE,
            tls_creds=tls_creds if paired and self.tls else "",
            insecure=not self.tls,
        )


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole file."""

    name: str
    title: str
    description: str
    guest: Guest
    rate: float
    """Of the link, in bytes a second; 0 if nothing limits it."""
    cases: tuple[Case, ...]
    repeats: int
    downtime_limit_ms: int
    timeout: float
    """Seconds after which a run is given up and counted as failed."""
    change: Change | None = None
    """What changes during each run; None if nothing does."""

    @property
    def held(self) -> int:
        """Guests whose memory is held at once: every source, and a destination."""
        native = {case.route == NATIVE for case in self.cases}
        return 3 if self.guest.kind == QEMU and len(native) > 1 else 2


def labels(cases: tuple[Case, ...]) -> tuple[str, ...]:
    """A label for each case, unique: "qatzip 1 (relay pair, TLS)"; channels only where they
    differ."""
    several = len({case.channels for case in cases}) > 1
    return tuple(_label(case, several) for case in cases)


def _label(case: Case, several: bool) -> str:
    name = case.method if case.level is None else f"{case.method} {case.level}"
    channels = f", {case.channels} channels" if several else ""
    return f"{name} ({case.route}{', TLS' * case.tls}{channels})"


def fitted(scenario: Scenario, available: int) -> tuple[Scenario, str]:
    """The scenario as this machine can run it, and a sentence about what was scaled.

    A scaled guest gets the largest power of two of which all guests take half of the free memory.

    :param available: bytes of memory that are free.
    :raise HostError: they do not fit, and the scenario does not allow to scale them.
    """
    guest = scenario.guest
    held = scenario.held
    number = {2: "two", 3: "three"}[held]
    room = f"{number} guests are held at once, and {memory(available)} of memory are free here"
    if not guest.scalable:
        if held * guest.memory + SPARE > available:
            raise HostError(
                f"scenario {scenario.name}: a guest of {memory(guest.memory)} is too big for this"
                f" machine: {room}; give a smaller --memory"
            )
        return scenario, ""
    largest = 1 << max(0, (available // (2 * held)).bit_length() - 1)
    if largest < LEAST_MEMORY:
        raise HostError(
            f"scenario {scenario.name}: no guest of {memory(LEAST_MEMORY)} fits: {room}"
        )
    if guest.memory <= largest:
        return scenario, ""
    hot = guest.hot * largest // guest.memory >> 20 << 20
    smaller = replace(guest, memory=largest, hot=max(hot, LEAST_HOT) if guest.hot else 0)
    said = (
        f"The guest has {memory(largest)} where the scenario says {memory(guest.memory)}:"
        f" {room}, of which they may take half."
    )
    return replace(scenario, guest=smaller), said


def with_memory(scenario: Scenario, size: int) -> tuple[Scenario, str]:
    """The scenario with a guest of ``size`` bytes, as a person asked, and a sentence about it.

    :raise UsageError: it is too small, or does not hold the memory that the guest dirties.
    """
    guest = scenario.guest
    if size < LEAST_MEMORY:
        raise UsageError(f"--memory must be {LEAST_MEMORY >> 20}M or more")
    if size == guest.memory:
        return replace(scenario, guest=replace(guest, scalable=False)), ""
    hot = max(LEAST_HOT, guest.hot * size // guest.memory >> 20 << 20) if guest.hot else 0
    changed = replace(guest, memory=size, hot=hot, scalable=False)
    said = f"The guest has {memory(size)} where the scenario says {memory(guest.memory)}, as asked."
    return replace(scenario, guest=changed), said
