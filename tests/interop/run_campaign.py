"""The seeded campaign of faults: ``make test-faults``, which hands ``ARGS`` on to here.

Each trial is a migration with one fault; the seed and its number repeat it: ``--seed 7 --trial
123`` says what it does, does it, and shows what everybody said.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from campaign_draw import ALL, QUICK, draw
from campaign_flips import draw_flip, flips_told, found
from campaign_judge import Outcome
from campaign_run import run_trial
from campaign_table import summary
from campaign_topologies import TOPOLOGIES
from campaign_trial import Trial

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PEERS_HERE = os.environ.get("RAMFERRY_PEERS") or str(CHECKOUT / "build/peers/bin")
NICE = 5


def run_trials(trials: Iterable[Trial], jobs: int) -> Iterator[Outcome]:
    """Run trials, ``jobs`` at a time, in processes of their own; outcomes in the trials' order."""
    os.environ["RAMFERRY_PEERS"] = PEERS_HERE
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=os.nice, initargs=(NICE,)) as pool:
        yield from pool.map(run_trial, trials)


def main() -> int:
    """Run what the command line says; 1 where something was not as it may be."""
    options = _options()
    if options.flips:
        return _flips(options)
    numbers = options.trial or range(options.first, options.first + options.trials)
    lot = QUICK if options.quick else ALL
    trials = [draw(options.seed, number, lot) for number in numbers]
    trials = [one for one in trials if one.topology in (options.topology or TOPOLOGIES)]
    if options.list:
        print(*trials, sep="\n")
        return 0
    if options.trial:
        print(*trials, sep="\n", flush=True)
    outcomes = []
    for outcome in run_trials(trials, options.jobs):
        outcomes.append(outcome)
        _print(outcome, loud=bool(options.trial))
        if options.json:
            options.json.write_text(json.dumps([asdict(one) for one in outcomes], indent=1))
    print(summary(trials, outcomes))
    return int(any(outcome.violations for outcome in outcomes))


def flip(seed: int, wanted: int, topology: str, jobs: int) -> Iterator[tuple[Trial, Outcome]]:
    """Flip bits until so many have met their byte in time."""
    drawn = early = 0
    while early < wanted:
        numbers = range(drawn, drawn + wanted - early)
        trials = [draw_flip(seed, number, topology) for number in numbers]
        for trial, outcome in zip(trials, run_trials(trials, jobs), strict=True):
            early += outcome.early
            yield trial, outcome
        drawn += len(trials)


def _flips(options: argparse.Namespace) -> int:
    """1 where a bit was not found."""
    pairs = []
    topology = (options.topology or ["clear"])[0]
    for pair in flip(options.seed, options.flips, topology, options.jobs):
        pairs.append(pair)
        _print(pair[1], loud=False)
    print(flips_told(pairs))
    return int(not all(found(one) for _, one in pairs if one.early))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--trial", nargs="+", type=int, metavar="K", help="only these numbers")
    parser.add_argument("--quick", action="store_true", help="draw as the sample in make test does")
    parser.add_argument("--flips", type=int, help="instead: so many bits, each in one migration")
    parser.add_argument("--topology", nargs="+", choices=TOPOLOGIES, help="only these")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--list", action="store_true", help="say what would be done")
    return parser.parse_args()


def _print(outcome: Outcome, *, loud: bool) -> None:
    mark = "" if outcome.struck else ", NOT STRUCK"
    overlap = f", both ran for {outcome.overlap_ms} ms" if outcome.overlap_ms else ""
    codes = ", ".join(f"{name} {code}" for name, code in outcome.codes.items())
    print(f"{outcome.text}: {outcome.where} ({codes}), {outcome.seconds:g} s{overlap}{mark}")
    if loud or outcome.violations:
        for name, lines in outcome.said.items():
            print(*(f"      {name}: {line}" for line in lines), sep="\n")
    for kind, what in outcome.known:
        print(f"   known: {kind}: {what}")
    for kind, what in outcome.violations:
        print(f"   !! {kind}: {what}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
