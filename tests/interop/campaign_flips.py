"""One flipped bit anywhere between two relays, before ram's END: is it found in time?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Final

from campaign_guests import MEMORY
from campaign_judge import Outcome
from campaign_trial import Trial

RATIO: Final = {"none": 1.1, "zstd": 2.5, "qatzip": 2.5}
"""About what the guest's memory shrinks to: all of a channel that lies before ram's END."""
MAIN_BYTES: Final = 400
"""The least that main sends before ram's END."""
HELLO_BYTES: Final = 400
OPENING_BYTES: Final = 24
FOUND: Final = "stayed"


def draw_flip(seed: int, number: int, topology: str) -> Trial:
    """A migration between built-in guests, and a byte of one of its connections on the wire."""
    dice = random.Random(f"flip-{seed}-{number}")
    control = topology != "pair"  # QEMU's own wire has no such connection
    method, channels = dice.choice(("none", "zstd", "qatzip")), dice.randint(1, 4)
    names = ["main", *(f"multifd {n}" for n in range(channels)), *(["control"] if control else [])]
    target = dice.choice(names)
    most = {"main": MAIN_BYTES, "control": HELLO_BYTES}.get(target)
    back = target == "control" and dice.random() < 0.5
    return Trial(
        seed,
        number,
        topology,
        source="built-in",
        destination="built-in",
        paused=False,
        method=method,
        channels=channels,
        fault="flip",
        watch="near",
        place="wire",
        target=target,
        way="back" if back else "forward",
        phase="connect",
        seconds=0.0,
        delay=0.0,
        skip=dice.randrange(most or round(MEMORY / RATIO[method] / channels)),
        lasting=False,
        once=True,
        timeout=None,
    )


def found(outcome: Outcome) -> bool:
    """Whether the source's guest runs, and the destination's never has."""
    ended_badly = all(code for code in outcome.codes.values())
    return outcome.where == FOUND and not outcome.undone_ms and ended_badly


def flips_told(flips: Sequence[tuple[Trial, Outcome]]) -> str:
    """How many were found of those that were in time, by connection; and which were not."""
    pairs = [(trial, one) for trial, one in flips if one.early]
    lines = [f"{sum(found(one) for _, one in pairs)} of {len(pairs)} found before the switchover"]
    hits, seen = Counter[str](), Counter[str]()
    for trial, one in pairs:
        kind = trial.target.split()[0]
        hits[kind] += 1
        seen[kind] += found(one)
    lines += [f"  {kind}: {seen[kind]} of {count}" for kind, count in hits.items()]
    lines += [f"  NOT FOUND: {one.text}: {one.where}" for _, one in pairs if not found(one)]
    return "\n".join(lines)
