#!/usr/bin/env python3
"""Fuzzes parsers and decoders: ``tests/fuzz/run.py TARGET --seconds 600``; without one, all.

Findings are files in ``.fuzz/TARGET``: the input, and beside it the traceback. ``--replay FILE``
tries one again. The exit code is 1 if there is a finding.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from fuzz.child import SHARED_BYTES, Notes  # noqa: E402
from fuzz.target import keep, kept  # noqa: E402
from fuzz.targets.table import TARGETS  # noqa: E402

CHECKOUT: Final = Path(__file__).resolve().parents[2]
STILL_SECONDS: Final = 60.0
"""How long one input may take on the clock before the process counts as stopped."""
FOREVER: Final = 1 << 62


class Campaign:
    """One target's run: child after child, as long as there is time."""

    def __init__(self, asked: argparse.Namespace, name: str, folder: Path) -> None:
        self._asked, self._name, self._folder = asked, name, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.grown = Path(tempfile.mkdtemp(prefix="ramferry-fuzz-"))
        shared = self.grown / "notes"
        shared.write_bytes(bytes(SHARED_BYTES))
        self._shared, self._notes = shared, Notes(shared)
        self.deaths = 0

    def run(self) -> int:
        """Run it and print what it did; the number of findings."""
        began, seed = time.monotonic(), self._asked.seed
        end = began + self._asked.seconds
        corpus = self.grown / "corpus"
        corpus.mkdir()
        while (left := end - time.monotonic()) > 0:
            if self._child(seed, corpus, left):
                break
            seed += 1
        trials, accepted, findings, _ = self._notes.read()
        findings += self.deaths
        spent = time.monotonic() - began
        print(
            f"{self._name:18} {trials:>9} inputs in {spent:5.0f} s, {accepted} accepted,"
            f" {findings} findings{f' in {self._folder}' if findings else ''}",
            flush=True,
        )
        return findings

    def _child(self, seed: int, corpus: Path, seconds: float) -> bool:
        """Run one child; False if it died, so that another one goes on behind its last input."""
        trials = self._notes.read()[0]
        place = (self._shared, self._folder, corpus, seed, trials, self._asked.runs, seconds)
        line = [sys.executable, str(Path(__file__).with_name("child.py")), self._name]
        line += [self._asked.engine, *map(str, place)]
        with (self._folder / "log").open("ab") as log:
            # libFuzzer ends it without cleaning up
            own = {**os.environ, "TMPDIR": str(self.grown)}
            child = subprocess.Popen(line, stdout=log, stderr=log, cwd=CHECKOUT, env=own)
            try:
                code = self._watch(child, seconds)
            finally:
                child.kill()
                child.wait()
        if code == 0:
            return True
        self._died(code)
        return False

    def _watch(self, child: subprocess.Popen[bytes], seconds: float) -> int | str:
        """Wait for its end; what it ended by, 0 for well."""
        seen, since, end = -1, time.monotonic(), time.monotonic() + seconds + STILL_SECONDS
        while True:
            try:
                code = child.wait(1.0)
                return signal.Signals(-code).name if code < 0 else code
            except subprocess.TimeoutExpired:
                pass
            now, trials = time.monotonic(), self._notes.read()[0]
            if trials != seen:
                seen, since = trials, now
            if now - since > STILL_SECONDS:
                return "stopped"
            if now > end:
                return 0

    def _died(self, why: int | str) -> None:
        self.deaths += 1
        trials, accepted, findings, data = self._notes.read()
        (self._folder / f"died-{why}-{self.deaths}").write_bytes(data)
        self._notes.write(trials + 1, accepted, findings, b"")
        if self.deaths > 20:
            raise SystemExit(f"{self._name}: the process died too often; see {self._folder}/log")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=600.0, help="for each target [600]")
    parser.add_argument("--runs", type=int, default=FOREVER, help="inputs that are tried at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("atheris", "plain"), help="[atheris, if it is here]")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try this input of one target")
    parser.add_argument("--findings", type=Path, default=CHECKOUT / ".fuzz", help="folder [.fuzz]")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep small inputs that reached new code in the tree's corpus",
    )
    asked = parser.parse_args()
    unknown = set(asked.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    if asked.replay and len(asked.targets) != 1:
        parser.error("--replay FILE needs the one target that the file is for")
    if asked.engine is None:
        found = importlib.util.find_spec("atheris") is not None
        asked.engine = "atheris" if found else "plain"
        if not found:
            print("atheris is not here: inputs are changed without regard to the code they reach")
    return asked


def _keep(name: str, corpus: Path) -> None:
    """Add inputs of all sizes that a run found to the tree: up to 24 of 1 KiB at most."""
    known = {*TARGETS[name].samples(), *kept(name)}
    found = sorted({path.read_bytes() for path in corpus.iterdir()} - known, key=len)
    small = [data for data in found if 0 < len(data) <= 1024]
    keep(name, [*kept(name), *small[:: len(small) // 24 + 1]])


def main() -> int:
    """Run what is asked for."""
    asked = _arguments()
    if asked.replay:
        accepted = TARGETS[asked.targets[0]].check(asked.replay.read_bytes())
        print("accepted" if accepted else "refused, as it should be")
        return 0
    findings = 0
    for name in asked.targets or TARGETS:
        campaign = Campaign(asked, name, asked.findings / name)
        try:
            findings += campaign.run()
            if asked.keep:
                _keep(name, campaign.grown / "corpus")
        finally:
            shutil.rmtree(campaign.grown)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
