"""The order of runs, and what is kept of those that failed, were stopped, or are to be resumed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from test_verdicts import RUN

from ramferry.bench.course import Reports, course
from ramferry.bench.scenario import Case
from ramferry.control.migrate.callbacks import Hooks
from ramferry.errors import Cancelled, MigrationFailed
from ramferry.forecast.eta import MigrationSample
from ramferry.metrics import MigrationResult
from ramferry.report.benchmark.comparison import CaseRuns, Comparison, Link, Scenario

CASES = tuple(Case(method, None, 8, "relay pair") for method in ("none", "zstd", "qatzip"))
BLANK = Comparison(
    Scenario("s", "t", "d", "QEMU 7.2", 1 << 27, "generated", "idle", Link(0.0, "none")),
    {"cpu": "c"},
    tuple(CaseRuns(case.method, case.method, None, 8, case.route) for case in CASES),
    "2026-01-01T00:00:00+00:00",
    finished=False,
)
SAMPLE = MigrationSample(0.2, "active", 1, 100, 50, 40, 30, 0.0, None, 20)


@dataclass
class Machine:
    """Carries by a script; tells what was told."""

    stop: threading.Event = field(default_factory=threading.Event)
    begun: list[tuple[int, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    kept: list[Comparison] = field(default_factory=list)
    failing: str = ""
    stop_at: int = -1
    slow: str = ""

    def carry(self, case: Case, hooks: Hooks) -> MigrationResult:
        hooks.on_sample(SAMPLE)
        if len(self.begun) == self.stop_at:
            self.stop.set()
            raise Cancelled("cancelled")
        if case.method == self.slow:
            raise Cancelled("not completed within 1 s")
        if case.method == self.failing:
            raise MigrationFailed("the link broke")
        return replace(RUN, method=case.method)

    def reports(self) -> Reports:
        def begun(number: int, case: CaseRuns) -> Hooks:
            self.begun.append((number, case.label))
            return Hooks(stop=self.stop)

        return Reports(begun, lambda _, said: self.failed.append(said), self.kept.append)

    def run(self, comparison: Comparison = BLANK, repeats: int = 2) -> Comparison:
        return course(comparison, CASES, repeats, self.carry, self.reports())


def counts(comparison: Comparison) -> list[int]:
    return [len(case.runs) for case in comparison.cases]


def test_runs_are_interleaved_after_one_that_does_not_count() -> None:
    machine = Machine()
    found = machine.run()
    names = ["none", "zstd", "qatzip"]
    assert machine.begun == [(0, "none"), *((n, name) for n in (1, 2) for name in names)]
    assert found.finished
    assert counts(found) == [2, 2, 2]
    assert [counts(one) for one in machine.kept[:2]] == [[1, 0, 0], [1, 1, 0]]


def test_a_run_has_its_label_its_cpu_seconds_and_its_timeline() -> None:
    run = Machine().run().cases[2].runs[0]
    assert run.result is not None
    assert (run.result.name, run.result.route) == ("qatzip", "relay pair")
    assert (run.send_cpu_seconds, run.recv_cpu_seconds) == (1.5, None)
    (point,) = run.timeline
    assert (point.remaining_bytes, point.carried_bytes, point.wire_bytes) == (50, 40, 20)


def test_a_run_that_fails_is_kept_and_the_others_go_on() -> None:
    machine = Machine(failing="zstd")
    found = machine.run()
    assert found.finished
    assert counts(found) == [2, 2, 2]
    assert [run.error for run in found.cases[1].runs] == ["the link broke"] * 2
    assert found.cases[1].runs[0].result is None
    assert len(found.cases[1].runs[0].timeline) == 1
    assert machine.failed == ["the link broke"] * 2


def test_a_case_to_skip_is_skipped() -> None:
    cases = list(BLANK.cases)
    cases[0] = replace(cases[0], skipped="tc is not here")
    machine = Machine()
    found = machine.run(replace(BLANK, cases=tuple(cases)))
    assert found.finished
    assert counts(found) == [0, 2, 2]
    assert machine.begun[0] == (0, "zstd")


def test_a_warm_up_that_fails_ends_nothing() -> None:
    machine = Machine(failing="none")
    assert counts(machine.run()) == [2, 2, 2]
    assert len(machine.failed) == 3


def test_a_run_that_takes_too_long_has_failed() -> None:
    found = Machine(slow="none").run()
    assert found.finished
    assert found.cases[0].runs[0].error == "not completed within 1 s"


def test_stopped_it_keeps_what_is_finished_and_resumed_it_does_the_rest() -> None:
    stopped = Machine(stop_at=4).run()
    assert not stopped.finished
    assert counts(stopped) == [1, 1, 0]
    machine = Machine()
    found = machine.run(stopped)
    assert machine.begun[:3] == [(0, "qatzip"), (1, "qatzip"), (2, "none")]
    assert found.finished
    assert counts(found) == [2, 2, 2]
    assert found.cases[0].runs[0] is stopped.cases[0].runs[0]


def test_stopped_between_two_runs_it_carries_nothing_more() -> None:
    machine = Machine()
    machine.stop.set()
    assert counts(machine.run()) == [0, 0, 0]


def test_nothing_to_do_is_finished() -> None:
    machine = Machine()
    done = machine.run()
    again = Machine()
    assert again.run(done).finished
    assert again.begun == []
