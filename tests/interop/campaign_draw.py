"""Draws trials from a seed: the same for the same seed and number."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from campaign_topologies import TOPOLOGIES, Topology
from campaign_trial import ALTERS, BREAKS, LATE, SIGNALS, Trial

from fault_blows import ALTERING, CONNECTING, ENDING

PEERS: Final = (
    ("7.2", "7.2"),
    ("10.0", "10.0"),
    ("7.2", "10.0"),
    ("built-in", "built-in"),
)
"""Source and destination."""
TIMEOUT_SECONDS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Lot:
    """What is drawn from."""

    peers: tuple[int, ...] = (3, 4, 1, 2)
    """Weights of PEERS."""
    stops: tuple[float, ...] = (1.0, 3.0, 6.0)
    """Seconds that a process is stopped."""
    stalls: tuple[float, ...] = (1.0, 5.0, 9.0)
    """Seconds that a connection stalls, is slow or waits for the next."""
    dead: float = 20.0
    """After which TCP gives up a link that carries nothing, both ends find it reset."""
    timeout: float = 9.0
    """Seconds of a stall that ``--timeout`` meets; 0: none is drawn."""
    patient: bool = True
    """``migrate`` may be left with connections that nobody answers: it waits for half a minute."""


ALL: Final = Lot()
QUICK: Final = Lot((1, 1, 0, 8), (1.0,), (1.0,), 2.0, 0.0, patient=False)
"""For a sample that is over soon: guests that need no QEMU, short stalls."""


def draw(seed: int, number: int, lot: Lot = ALL) -> Trial:
    """The trial ``number`` of a seed; topologies take turns, the rest is by chance."""
    return _Draw(seed, number, lot).trial()


class _Draw:
    """One drawing; what is drawn first narrows what comes later."""

    def __init__(self, seed: int, number: int, lot: Lot) -> None:
        self._dice = random.Random(f"{seed}-{number}")
        self._id = (seed, number)
        self._lot = lot
        self._way_there: Topology = [*TOPOLOGIES.values()][number % len(TOPOLOGIES)]

    def trial(self) -> Trial:
        dice, name = self._dice, self._way_there.name
        source, destination = dice.choices(PEERS, self._lot.peers)[0]
        self._built_in = source == "built-in"
        paused = dice.random() < 0.15
        channels = dice.randint(1, 4)
        method = self._method()
        fault = self._fault()
        watch = self._watch()
        place, target = self._target(fault, channels)
        way = self._way(fault, target)
        phase = self._phase(fault, watch, way, paused=paused)
        skip = self._skip(fault, phase, target)
        if fault in ALTERS:
            way = "back" if phase == "answer" else "forward"
        if (skip or fault in ALTERS) and phase in LATE:
            # the channels are silent by then
            target = "" if place == "wire" and self._way_there.sealed else "main"
        if (skip or fault in ALTERS) and target == "control":
            phase, way = "connect", dice.choice(("forward", "back"))  # where both say hello
        return Trial(
            *self._id,
            name,
            source,
            destination,
            paused,
            method,
            channels,
            fault,
            watch,
            place or watch,
            target,
            way,
            phase,
            seconds=self._seconds(fault),
            delay=self._delay(fault, phase) if not skip else 0.0,
            skip=skip,
            lasting=dice.random() < 0.5 and fault not in CONNECTING,
            once=dice.random() < 0.4,
            timeout=TIMEOUT_SECONDS if fault == "timeout" else None,
        )

    @property
    def _blank(self) -> bool:
        """Whether no proxy can stand on a guest's connection: that of a built-in guest that
        ``migrate`` set up, whose monitor is no TCP port."""
        return self._built_in and self._way_there.name in ("local", "direct", "ssh")

    def _method(self) -> str:
        bare = self._way_there.name in ("direct", "one") and not self._built_in
        return self._dice.choice(("none", "zstd") if bare else ("none", "zstd", "qatzip"))

    def _fault(self) -> str:
        dice = self._dice
        kinds = ["break"] * 16 + ["signal"] * 8 + ["cancel"] * 2
        if self._way_there.managed and self._lot.timeout:
            kinds += ["timeout"] * 3
        if self._blank and not self._way_there.verified:
            kinds = ["signal"] * 6 + ["cancel"]
        kind = dice.choice(kinds)
        if kind == "signal":
            return f"sig{dice.choice(SIGNALS)}"
        if kind != "break":
            return kind
        fault = dice.choice([*BREAKS, "cut", "reset", "stall", "half-cut"])
        if fault == "swallow" and self._way_there.managed and not self._lot.patient:
            fault = "reorder"
        # no relay is there to see altered bytes, and QEMU 10.0's destination hangs of some
        return "cut" if fault in ALTERS and self._way_there.name == "direct" else fault

    def _watch(self) -> str:
        if self._blank:
            return ""
        places = self._way_there.watched
        if self._built_in and self._way_there.managed:
            places = tuple(place for place in places if place != "near")
        return self._dice.choice(places)

    def _target(self, fault: str, channels: int) -> tuple[str, str]:
        """The place, if it is another than where a proxy watches, and what is hit there."""
        dice = self._dice
        if fault == "cancel":
            return "", "source"
        if fault not in BREAKS and fault != "timeout":
            return "", self._station(fault)
        between = self._way_there.verified and (self._blank or dice.random() < 0.7)
        place = "wire" if between else ""
        if between and self._way_there.sealed:
            lines = 1 if self._way_there.wire == "ssh" else channels + 2
            return place, dice.choice(("", *(f"connection {n}" for n in range(lines))))
        if fault in CONNECTING:
            return place, f"connection {dice.randrange(channels + 1 + between)}"
        if fault == "timeout":
            return place, "main"
        if between and dice.random() < 0.2:
            return place, "control"
        if fault in ALTERS or fault == "truncate":
            return place, dice.choice(("main", f"multifd {dice.randrange(channels)}"))
        monitors = self._way_there.managed and not self._built_in and fault != "trickle"
        if monitors and self._way_there.wire != "ssh" and dice.random() < 0.25:
            return dice.choice(("qmp-source", "qmp-destination")), "qmp"
        return place, dice.choice(("main", "main", f"multifd {dice.randrange(channels)}", ""))

    def _station(self, fault: str) -> str:
        stations = [*self._way_there.relays]
        if self._way_there.wire == "ssh":
            stations += ["ssh", "half"]
        if fault not in ("sigint", "sighup"):  # to a QEMU they are what SIGTERM is
            stations += ["source", "destination"]
        if self._way_there.managed:
            stations += ["migrate"] * (len(stations) + 1)
        return self._dice.choice(stations)

    def _phase(self, fault: str, watch: str, way: str, *, paused: bool) -> str:
        dice = self._dice
        if fault in CONNECTING:
            return "connect"
        early = ["setup", "round", *(["later"] if not paused else [])]
        late = ["switchover", "device", "answer"] if watch else ["switchover"]
        if fault in ALTERS:
            more = ["device"] if self._way_there.verified else []
            return dice.choice([*early, *(more if watch else []), *(["answer"] if watch else [])])
        if way == "back":
            return dice.choice(late)  # all that is on its way back is the answer
        if way == "forward":
            return dice.choice([*early, *late[:2], *late[:2]])
        if fault in ("timeout", "stall", "dead", "trickle"):
            return dice.choice([*early, *late, *late])
        start = ["start"] if fault.startswith("sig") else []
        return dice.choice([*start, *early, *late, *late, "after"])

    def _way(self, fault: str, target: str) -> str:
        directed = ("stall", "dead", "trickle", "delay", "timeout")
        if fault == "half-cut":
            return self._dice.choice(("forward", "back"))
        if target != "main" or fault not in directed:
            return "both"
        return self._dice.choice(("both", "forward", "back"))

    def _seconds(self, fault: str) -> float:
        if fault == "sigstop":
            return self._dice.choice(self._lot.stops)
        if fault == "timeout":
            return self._lot.timeout
        if fault == "dead":
            return self._lot.dead
        slow = fault in ("stall", "trickle", "delay", "reorder")
        return self._dice.choice(self._lot.stalls) if slow else 0.0

    def _delay(self, fault: str, phase: str) -> float:
        if phase == "start":
            return round(self._dice.uniform(0.2, 0.9), 3)
        late = fault.startswith("sig") or fault in ("cancel", "cut", "reset")
        return self._dice.choice((0.0, 0.0, 0.01, 0.1)) if late else 0.0

    def _skip(self, fault: str, phase: str, target: str) -> int:
        dice = self._dice
        within = (
            fault == "truncate" or fault in ALTERING or (fault in ENDING and dice.random() < 0.3)
        )
        if not within or phase == "after":
            return 0
        if phase == "answer":
            return dice.randrange(8)  # SHUT has 8 bytes
        if phase in LATE or target == "main":  # main has little in a round
            return dice.randrange(60)
        return dice.choice((dice.randrange(16), dice.randrange(300), dice.randrange(20_000)))
