"""The process that tries inputs of one target; ``run.py`` starts it, watches it, and reads what it
notes.

It notes each input in a shared file before it tries it, so that one that ends or stops the process
is known. Two engines: ``atheris`` (libFuzzer: it keeps inputs that reach new code of Ramferry's),
and ``plain`` (changes to the corpus only, each made of seed and number alone).
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import random
import resource
import struct
import sys
import time
import traceback
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

if TYPE_CHECKING:
    from fuzz.target import Target

SHARED_BYTES: Final = 1 << 20
_NOTE: Final = struct.Struct("<QQQQ")
"""Trials, accepted ones, findings, and bytes of the input that is tried."""
_ADDRESS_SPACE: Final = 2 << 30
"""Bytes that the process may map besides what it has once everything is imported."""
_TRACED: Final = 64
"""One trial in so many has its memory traced, which takes several times as long."""
_SAME: Final = 3
"""Findings of one place that are kept."""


class Notes:
    """What parent and child share."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SHARED_BYTES)

    def write(self, trials: int, accepted: int, findings: int, data: bytes) -> None:
        """Say what is tried now."""
        self._map[_NOTE.size : _NOTE.size + len(data)] = data
        self._map[: _NOTE.size] = _NOTE.pack(trials, accepted, findings, len(data))

    def read(self) -> tuple[int, int, int, bytes]:
        """What was written last."""
        trials, accepted, findings, size = _NOTE.unpack(self._map[: _NOTE.size])
        return trials, accepted, findings, self._map[_NOTE.size : _NOTE.size + size]


class Trier:
    """Tries one input after another, and writes down what is found."""

    def __init__(self, target: Target, notes: Notes, folder: Path) -> None:
        self.target, self.folder, self._notes = target, folder, notes
        self._trials, self._accepted, self._findings, _ = notes.read()
        self._places: dict[str, int] = {}

    def __call__(self, data: bytes) -> None:
        """Try ``data``."""
        self._notes.write(self._trials, self._accepted, self._findings, data)
        try:
            self._accepted += self._bounded(data)
        except Exception as error:
            self._keep(error, data)
        self._trials += 1
        self._notes.write(self._trials, self._accepted, self._findings, b"")

    def _bounded(self, data: bytes) -> bool:
        target = self.target
        before = time.process_time()
        accepted = self._traced(data) if self._trials % _TRACED == 1 else target.check(data)
        limit = target.seconds + target.seconds_a_byte * len(data)
        if time.process_time() - before > limit and self._quickest(data) > limit:
            raise AssertionError(f"over {limit:.2f} s of CPU time for {len(data)} bytes")
        return accepted

    def _quickest(self, data: bytes) -> float:
        """CPU time of the quicker of two more tries: the first one may have had other work."""
        taken = []
        for _ in range(2):
            before = time.process_time()
            self.target.check(data)
            taken.append(time.process_time() - before)
        return min(taken)

    def _traced(self, data: bytes) -> bool:
        tracemalloc.start()
        try:
            accepted = self.target.check(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if peak > (self.target.mebibytes << 20) + 64 * len(data):
            raise AssertionError(f"{peak} bytes of memory for {len(data)} bytes")
        return accepted

    def _keep(self, error: Exception, data: bytes) -> None:
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        place = "-".join(f"{Path(one.filename).stem}.{one.lineno}" for one in frames)
        name = f"{type(error).__name__}-{place}"
        self._places[name] = self._places.get(name, 0) + 1
        self._findings += 1
        if self._places[name] <= _SAME:
            path = self.folder / f"{name}-{self._places[name]}"
            path.write_bytes(data)
            path.with_name(f"{path.name}.txt").write_text(
                "".join(traceback.format_exception(error))
            )


def plain(trier: Trier, seed: int, first: int, runs: int, seconds: float) -> None:
    """The corpus as it is, then trial after trial."""
    from fuzz.mutation import trial

    end = time.monotonic() + seconds
    if not first:
        for data in trier.target.corpus:
            trier(data)
    number = first
    while number < first + runs and time.monotonic() < end:
        trier(trial(trier.target, seed, number))
        number += 1


def guided(trier: Trier, seed: int, runs: int, seconds: float, grown: Path) -> None:
    """As libFuzzer does, with the house's own changes among its own; ends the process."""
    import atheris

    from fuzz.mutation import changed

    target = trier.target
    for number, data in enumerate(target.corpus):
        (grown / f"sample-{number:03}").write_bytes(data)

    def change(data: bytes, most: int, number: int) -> bytes:
        chance = random.Random(number)
        if chance.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return changed(target, bytes(data), chance)[:most]

    options = {
        "seed": seed % 2**31 or 1,
        "max_total_time": int(seconds),
        "max_len": target.longest,
        "timeout": 300,
        "artifact_prefix": f"{trier.folder}/",
        "rss_limit_mb": 0,
        "handle_segv": 0,
        "handle_bus": 0,
        "handle_abrt": 0,
        "handle_int": 0,
        "runs": runs if runs < 1 << 60 else -1,
    }
    line = [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(grown)]
    atheris.Setup(line, lambda data: trier(bytes(data)), custom_mutator=change)
    atheris.Fuzz()


def _tracing(engine: str) -> contextlib.AbstractContextManager[object]:
    if engine != "atheris":
        return contextlib.nullcontext()
    import atheris

    manager: contextlib.AbstractContextManager[object] = atheris.instrument_imports(
        include=["ramferry"], enable_loader_override=False
    )
    return manager


def main() -> None:
    """See ``run.py``, which gives the arguments."""
    parser = argparse.ArgumentParser()
    for name, kind in {
        "target": str,
        "engine": str,
        "notes": Path,
        "folder": Path,
        "grown": Path,
        "seed": int,
        "first": int,
        "runs": int,
        "seconds": float,
    }.items():
        parser.add_argument(name, type=kind)
    asked = parser.parse_args()
    with _tracing(asked.engine):
        from fuzz.targets.table import TARGETS
    trier = Trier(TARGETS[asked.target], Notes(asked.notes), asked.folder)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _ADDRESS_SPACE,) * 2)
    if asked.engine == "atheris":
        guided(trier, asked.seed, asked.runs, asked.seconds, asked.grown)
    else:
        plain(trier, asked.seed, asked.first, asked.runs, asked.seconds)


if __name__ == "__main__":
    main()
