"""Prints what ``--method auto`` reaches in simulated migrations, for docs/decisions/0008.

``PYTHONPATH=tests:tests/unit/policy python tools/simulations.py``; about 80 s.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

from test_simulation import CHANGING

from policy_worlds import Knowing, world
from ramferry.policy.candidates import candidates
from ramferry.policy.simulated import Policy
from ramferry.policy.simulation import Chooser, World, best_fixed, migrate

NOISE = 0.12
"""How far measurements are off, as a standard deviation of logarithms."""
SEEDS = range(11, 19)
"""Eight worlds that no constant was chosen by: the tests have 1 to 5."""
SMALL = ((0.1, 1e9), (0.25, 2e9), (0.5, 2e9), (1.0, 4e9), (2.5, 8e9))


def beside(world: World, chooser: Chooser, *, device: bool = False) -> float:
    """A migration's time over that of the best fixed choice."""
    _, least = best_fixed(replace(world, step=0.25), candidates(device=device))
    return migrate(world, chooser).seconds / least


def tell(name: str, found: list[float]) -> None:
    """Print least, median and most."""
    middle = statistics.median(found)
    print(f"{name}: {min(found):.2f}, {middle:.2f}, {max(found):.2f}", flush=True)


def large() -> None:
    """64 GB, 16 cores."""
    for gbit in (10, 25, 40, 100):
        for device in (False, True):
            made = [world(gbit, seed=seed, device=device) for seed in SEEDS]
            found = [beside(one, Policy(one, NOISE), device=device) for one in made]
            tell(f"64 GB, 16 cores, {gbit} Gbit/s{', devices' * device}", found)


def small() -> None:
    """1 to 8 GB, 2 and 4 cores, on one host and on two."""
    for name, rates in (("0.1 to 2.5", SMALL), ("10", ((10.0, 8e9),))):
        made = [
            world(gbit, seed=seed, cores=cores, memory=memory, one_host=one_host)
            for gbit, memory in rates
            for seed in SEEDS
            for cores in (2, 4)
            for one_host in (False, True)
        ]
        tell(f"2 and 4 cores, {name} Gbit/s", [beside(one, Policy(one, NOISE)) for one in made])


def changing() -> None:
    """Each scenario, and what one reaches that knows all at each moment."""
    for name, usual in CHANGING.items():
        made = [usual] + [replace(usual, figures=world(seed=seed).figures) for seed in SEEDS]
        tell(name, [beside(one, Policy(one, NOISE)) for one in made])
        tell(f"{name}, knowing", [beside(one, Knowing(one)) for one in made])


if __name__ == "__main__":
    changing()
    small()
    large()
