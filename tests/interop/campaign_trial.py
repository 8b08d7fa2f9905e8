"""What one trial of the campaign does, drawn from a seed: the same for the same seed and number.

Stations stand in the order source, near relay, far relay, destination. Connections: "near" behind
the source, "wire" between two relays (or two QEMUs), "far" before the destination; "qmp-source" and
"qmp-destination" are those from ``ramferry migrate`` to the monitors.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

TOPOLOGIES: Final = ("local", "direct", "via", "pair", "one")
"""``migrate`` with two relays of its own; without any; with ``--via`` a far one; a pair of relays,
and a single one, that were started by hand and are driven over QMP."""

MANAGED: Final = ("local", "direct", "via")
"""Those in which ``ramferry migrate`` is in charge."""

PLACES: Final = {
    "local": ("near", "far"),
    "direct": ("wire",),
    "via": ("near", "wire", "far"),
    "pair": ("near", "wire", "far"),
    "one": ("near", "far"),
}
RELAYS: Final = {
    "local": ("near", "far"),
    "direct": (),
    "via": ("near", "far"),
    "pair": ("near", "far"),
    "one": ("near",),
}
PEERS: Final = (
    ("7.2", "7.2"),
    ("10.0", "10.0"),
    ("7.2", "10.0"),
    ("built-in", "built-in"),
)
"""Source and destination."""

BREAKS: Final = ("cut", "reset", "stall", "dead", "trickle", "damage")
SIGNALS: Final = ("kill", "term", "int", "hup", "stop")
FAULTS: Final = (*BREAKS, *(f"sig{name}" for name in SIGNALS), "cancel", "timeout")

STOPS: Final = (1.0, 3.0, 6.0)
"""Seconds that a process is stopped."""
STALLS: Final = (1.0, 5.0, 9.0)
"""Seconds that a connection stalls."""
DEAD_SECONDS: Final = 20.0
"""After which TCP gives up a link that carries nothing, both ends find it reset."""
TIMEOUT_SECONDS: Final = 4.0
TIMEOUT_STALL: Final = 9.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial."""

    seed: int
    number: int
    topology: str
    source: str
    """ "7.2", "10.0" or "built-in"."""
    destination: str
    method: str
    channels: int
    fault: str
    watch: str
    """The connection where a proxy sees the phase; "" where the source's monitor tells it."""
    place: str
    """Where the fault is: ``watch``, or a monitor's connection."""
    target: str
    """A connection ("main", "multifd 1", "qmp", "" for all of them) or a process ("migrate",
    "near", "far", "source", "destination")."""
    way: str
    phase: str
    seconds: float
    """Of a stall, a trickle, a stop."""
    delay: float
    """Seconds from the phase to the fault; 0: before anything of the phase passes."""
    lasting: bool
    """A connection that was ended cannot be opened again."""
    timeout: float | None
    """``--timeout``."""

    @property
    def id(self) -> str:
        """What repeats it: seed and number."""
        return f"{self.seed}-{self.number}"

    @property
    def managed(self) -> bool:
        """Whether ``ramferry migrate`` is in charge."""
        return self.topology in MANAGED

    @property
    def killed(self) -> str:
        """Whose end the fault is: "source" where that QEMU is ended on purpose."""
        return self.target if self.fault in ("sigkill", "sigterm") else ""

    @property
    def answer_cut(self) -> bool:
        """Whether the destination's answer was kept from the source where nobody could ask both:
        cut between hand-run relays, by a relay's end, or by a source that somebody told to give
        up."""
        if self.managed or self.phase not in ("switchover", "device", "answer", "after"):
            return False
        return self.fault in ("cut", "reset", "dead", "cancel") or self.fault.startswith("sig")

    def __str__(self) -> str:
        what = f"{self.fault} {self.target or 'every line'}"
        if self.way != "both":
            what += f" {self.way}"
        if self.seconds:
            what += f" for {self.seconds:g} s"
        where = f" at {self.place}" if self.place else ""
        if self.place != self.watch:
            where += f" (seen at {self.watch})"
        after = f" + {self.delay * 1000:.0f} ms" if self.delay else ""
        limit = f" --timeout {self.timeout:g}" if self.timeout else ""
        return (
            f"{self.id} {self.topology} {self.source}→{self.destination} {self.method}"
            f" ×{self.channels}{limit}: {what}{where}, {self.phase}{after}"
        )


def draw(seed: int, number: int) -> Trial:
    """The trial ``number`` of a seed; topologies take turns, the rest is by chance."""
    dice = random.Random(f"{seed}-{number}")
    topology = TOPOLOGIES[number % len(TOPOLOGIES)]
    source, destination = dice.choices(PEERS, (3, 4, 1, 2))[0]
    built_in = source == "built-in"
    channels = dice.randint(1, 4)
    method = _method(dice, topology, built_in)
    fault = _fault(dice, topology, built_in)
    if fault == "damage" and topology == "direct":
        fault = "cut"  # no relay is there to see it, and QEMU 10.0's destination hangs of it
    watch = _watch(dice, topology, built_in)
    place, target = _target(dice, topology, fault, "" if built_in else watch, channels)
    way = _way(dice, fault, target)
    phase = _phase(dice, fault, watch, way)
    return Trial(
        seed=seed,
        number=number,
        topology=topology,
        source=source,
        destination=destination,
        method=method,
        channels=channels,
        fault=fault,
        watch=watch,
        place=place or watch,
        target=target,
        way=way,
        phase=phase,
        seconds=_seconds(dice, fault),
        delay=_delay(dice, fault, phase),
        lasting=dice.random() < 0.5,
        timeout=TIMEOUT_SECONDS if fault == "timeout" else None,
    )


def _method(dice: random.Random, topology: str, built_in: bool) -> str:
    bare = topology in ("direct", "one") and not built_in
    return dice.choice(("none", "zstd") if bare else ("none", "zstd", "qatzip"))


def _fault(dice: random.Random, topology: str, built_in: bool) -> str:
    kinds = ["break"] * 9 + ["signal"] * 8 + ["cancel"] * 2
    if topology in MANAGED:
        kinds += ["timeout"] * 4
    if built_in and topology in ("local", "direct"):  # nothing stands on its connections
        kinds = ["signal"] * 6 + ["cancel"]
    kind = dice.choice(kinds)
    if kind == "break":
        return dice.choices(BREAKS, (2, 2, 2, 1, 1, 1))[0]
    return f"sig{dice.choice(SIGNALS)}" if kind == "signal" else kind


def _watch(dice: random.Random, topology: str, built_in: bool) -> str:
    if built_in and topology in MANAGED:
        # its monitor is no TCP port: no proxy can stand there, which leads the way through another
        return dice.choice(("wire", "far")) if topology == "via" else ""
    return dice.choice(PLACES[topology])


def _target(
    dice: random.Random, topology: str, fault: str, watch: str, channels: int
) -> tuple[str, str]:
    """The place, if it is another than ``watch``, and what is hit there.

    :param watch: "" where no proxy can stand before a monitor.
    """
    if fault == "cancel":
        return "", "source"
    if fault == "timeout":
        return "", "main"
    if fault == "damage":
        return "", dice.choice(("main", f"multifd {dice.randrange(channels)}"))
    if fault in BREAKS:
        if topology in MANAGED and fault != "trickle" and watch and dice.random() < 0.3:
            return dice.choice(("qmp-source", "qmp-destination")), "qmp"
        return "", dice.choice(("main", "main", f"multifd {dice.randrange(channels)}", ""))
    stations = [*RELAYS[topology]]
    if fault not in ("sigint", "sighup"):  # to a QEMU they are what SIGTERM is
        stations += ["source", "destination"]
    if topology in MANAGED:
        stations += ["migrate"] * (len(stations) + 1)
    return "", dice.choice(stations)


def _phase(dice: random.Random, fault: str, watch: str, way: str) -> str:
    early = ["setup", "round", "later"]
    late = ["switchover", "device", "answer"] if watch else ["switchover"]
    if fault == "damage":
        return dice.choice(early)
    if way == "back":
        return dice.choice(late)  # all that is on its way back is the answer
    if way == "forward":
        return dice.choice([*early, *late[:2], *late[:2]])
    if fault in ("timeout", "stall", "dead", "trickle"):
        return dice.choice([*early, *late, *late])
    start = ["start"] if fault.startswith("sig") else []
    return dice.choice([*start, *early, *late, *late, "after"])


def _way(dice: random.Random, fault: str, target: str) -> str:
    if fault == "damage":
        return "forward"  # there is nothing on the way back before the answer
    if target != "main" or fault not in ("stall", "dead", "trickle", "timeout"):
        return "both"
    return dice.choice(("both", "forward", "back"))


def _seconds(dice: random.Random, fault: str) -> float:
    if fault == "sigstop":
        return dice.choice(STOPS)
    if fault == "timeout":
        return TIMEOUT_STALL
    if fault == "dead":
        return DEAD_SECONDS
    return dice.choice(STALLS) if fault in ("stall", "trickle") else 0.0


def _delay(dice: random.Random, fault: str, phase: str) -> float:
    if phase == "start":
        return round(dice.uniform(0.2, 0.9), 3)
    late = fault.startswith("sig") or fault in ("cancel", "cut", "reset")
    return dice.choice((0.0, 0.0, 0.01, 0.1)) if late else 0.0
