"""bench.forecasts: what is asked of plan time, and that its refusal stops nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from test_course import BLANK, CASES

from ramferry.bench import forecasts
from ramferry.bench.forecasts import with_forecasts
from ramferry.bench.scenario import Case, Guest, Scenario
from ramferry.control.plan.course import Findings, TimeQuestion
from ramferry.errors import Cancelled, HostError
from ramferry.forecast.sampling import draw
from ramferry.forecast.trial import try_method
from ramferry.report.benchmark.comparison import Comparison, Link

GUEST = Guest("QEMU", 1 << 27, False, ("generator",), 0.0, 0)
SCENARIO = Scenario(
    "s", "t", "d", GUEST, 0.0, (*CASES, Case("none", None, 4, "QEMU built-in")), 3, 300, 60.0
)
COMPARISON = replace(
    BLANK,
    cases=(*BLANK.cases, replace(BLANK.cases[0], label="built-in", route="QEMU built-in")),
    scenario=replace(BLANK.scenario, link=Link(125e6, "tc", 100e6)),
)
MEMORY = b"".join(b"%07d " % number for number in range(1 << 18))

Look = Callable[[TimeQuestion, Any, Any], Findings]


def look(question: TimeQuestion, *_: Any) -> Findings:
    sample = draw("qmp:x", len(MEMORY), lambda at, size: MEMORY[at : at + size])
    wanted = (("none", None), *question.methods)
    trials = {(method, level): try_method(sample, method, level) for method, level in wanted}
    return Findings(sample, question.conditions, trials, ("the host is busy",), ("of the guest",))


def told(monkeypatch: pytest.MonkeyPatch, answer: Look, what: Comparison = COMPARISON) -> Any:
    notes: list[str] = []
    asked: list[TimeQuestion] = []

    def listen(question: TimeQuestion, *rest: Any) -> Findings:
        asked.append(question)
        return answer(question, *rest)

    monkeypatch.setattr(forecasts, "look", listen)
    found = with_forecasts(what, SCENARIO, "qmp:x", notes.append, threading.Event())
    return found, asked, notes


def test_each_relay_pair_is_forecast_over_the_link_as_it_was_probed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, (question,), notes = told(monkeypatch, look)
    assert question.guest == "qmp:x"
    assert question.methods == (("none", None), ("zstd", None), ("qatzip", None))
    assert (question.conditions.link_rate, question.conditions.one_host) == (100e6, True)
    *pairs, built_in = found.cases
    assert built_in.forecast is None
    none, zstd, _ = (case.forecast for case in pairs)
    assert none.limited_by == "link"
    assert none.expected_ms == pytest.approx(30 + len(MEMORY) / 100e3, rel=0.01)
    assert none.low_ms < none.expected_ms < none.high_ms
    assert zstd.wire_bytes < none.wire_bytes
    assert found.forecast_notes[0] == "the host is busy"
    assert "of the guest" not in found.forecast_notes
    assert not notes


@pytest.mark.parametrize(
    ("link", "rate"), [(Link(5e6, "relay pacing"), 5e6), (Link(0.0, "none", 3e9), 0.0)]
)
def test_a_link_that_nothing_shapes(
    monkeypatch: pytest.MonkeyPatch, link: Link, rate: float
) -> None:
    what = replace(COMPARISON, scenario=replace(COMPARISON.scenario, link=link))
    _, (question,), _ = told(monkeypatch, look, what)
    assert question.conditions.link_rate == rate


def test_forecasts_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _, _ = told(monkeypatch, look)
    again, asked, _ = told(monkeypatch, look, found)
    assert again is found
    assert not asked


@pytest.mark.parametrize(
    ("error", "said"),
    [(HostError("no room"), ["no forecast: no room"]), (Cancelled("stopped"), [])],
)
def test_without_a_sample_the_runs_go_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: list[str]
) -> None:
    def refuse(*_: Any) -> Findings:
        raise error

    found, _, notes = told(monkeypatch, refuse)
    assert found is COMPARISON
    assert notes == said


def test_an_encrypted_case_has_no_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = SCENARIO.cases
    scenario = replace(SCENARIO, cases=(replace(first, tls=True), *others))
    monkeypatch.setattr(forecasts, "look", look)
    found = with_forecasts(COMPARISON, scenario, "qmp:x", lambda _: None, threading.Event())
    assert found.cases[0].forecast is None
    assert found.cases[1].forecast is not None
