"""A fixed sample of every fuzz target; ``make fuzz`` tries many more (``docs/security.md``)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.guarded import Guarded
from fuzz.mutation import trial
from fuzz.target import CORPUS, Target
from fuzz.targets.table import TARGETS

RUN = Path(__file__).resolve().parents[1] / "fuzz" / "run.py"


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_sample_of_changed_inputs_is_refused_as_it_should_be(target: Target) -> None:
    accepted = [target.check(data) for data in target.corpus]
    assert any(accepted), "no valid input is among the samples"
    for number in range(target.trials):
        data = trial(target, 0, number)
        try:
            target.check(data)
        except Exception as error:
            raise AssertionError(f"trial {number}: {data[:200]!r} …: {error!r}") from error


def test_every_kept_input_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= TARGETS.keys()
    assert sum(path.stat().st_size for path in CORPUS.iterdir()) < 400_000


def test_a_seed_makes_the_same_inputs_again() -> None:
    target = TARGETS["main"]
    once = [trial(target, 5, number) for number in range(20)]
    assert once == [trial(target, 5, number) for number in range(20)]
    assert once != [trial(target, 6, number) for number in range(20)]


def test_a_byte_in_front_of_a_guarded_buffer_is_noticed() -> None:
    guarded = Guarded(5000)
    out = guarded.buffer(4096)
    guarded.check(4096)
    guarded.buffer(4097)[0] = 7
    with pytest.raises(AssertionError, match="in front"):
        guarded.check(4096)
    assert len(out) == 4096


def test_a_byte_behind_a_guarded_buffer_ends_the_process() -> None:
    program = (
        "import ctypes; from fuzz.guarded import Guarded; out = Guarded(64).buffer(64);"
        "ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(out)), 0, 65)"
    )
    line = [sys.executable, "-c", program]
    assert subprocess.run(line, cwd=RUN.parents[1], check=False).returncode == -11


def test_the_runner_tries_so_many_inputs_and_says_so(tmp_path: Path) -> None:
    line = [sys.executable, str(RUN), "initial", "--engine", "plain", "--runs", "50"]
    line += ["--findings", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f" {len(TARGETS['initial'].corpus) + 50} inputs" in done.stdout
    assert "0 findings" in done.stdout
