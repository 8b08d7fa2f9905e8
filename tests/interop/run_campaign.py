"""The seeded campaign of faults, by hand: ``python tests/interop/run_campaign.py --trials 200``.

Each trial is a migration of a running guest with one fault; its number and the seed repeat it:
``--only 7-123``.
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

from campaign_judge import Outcome
from campaign_run import run_trial
from campaign_table import summary
from campaign_trial import Trial, draw

CHECKOUT = Path(__file__).resolve().parent.parent.parent
NICE = 5


def run_trials(trials: Iterable[Trial], jobs: int) -> Iterator[Outcome]:
    """Run trials, ``jobs`` at a time, in processes of their own; outcomes in the trials' order."""
    os.environ.setdefault("RAMFERRY_PEERS", str(CHECKOUT / "build/peers/bin"))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=os.nice, initargs=(NICE,)) as pool:
        yield from pool.map(run_trial, trials)


def main() -> int:
    """Run what the command line says; 1 where something was not as it may be."""
    options = _options()
    numbers = range(options.first, options.first + options.trials)
    trials = [draw(options.seed, number) for number in numbers]
    if options.only:
        trials = [draw(*map(int, one.split("-"))) for one in options.only]
    if options.list:
        print(*trials, sep="\n")
        return 0
    outcomes = []
    for outcome in run_trials(trials, options.jobs):
        outcomes.append(outcome)
        _print(outcome, loud=bool(options.only))
        if options.json:
            options.json.write_text(json.dumps([asdict(one) for one in outcomes], indent=1))
    print(summary(trials, outcomes))
    return int(any(outcome.violations for outcome in outcomes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--only", nargs="+", metavar="ID", help="SEED-NUMBER")
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
    for kind, what in outcome.violations:
        print(f"   !! {kind}: {what}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
