"""Forecasts of a scenario's cases, made as ``ramferry plan time`` makes them, before the runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite

from ramferry.allowance import allowed_cores
from ramferry.bench.scenario import Case, Scenario
from ramferry.control.plan.course import Findings, TimeQuestion, look, stands_on
from ramferry.errors import Cancelled, RamferryError
from ramferry.forecast.estimate import Conditions, estimate
from ramferry.metrics.forecast import MethodTime
from ramferry.report.benchmark.comparison import RELAY_PACING, TC, Comparison, Forecast, Link
from ramferry.vocabulary import AUTO, RELAY_PAIR


def with_forecasts(
    comparison: Comparison,
    scenario: Scenario,
    guest: str,
    note: Callable[[str], None],
    stop: threading.Event,
) -> Comparison:
    """``comparison`` with a forecast of each case whose route is a relay pair, in clear.

    Forecasts that it has already are kept. If no sample can be taken there are no forecasts, and
    the runs go on all the same.

    :param scenario: the scenario of ``comparison``, with its cases in the same order.
    :param guest: the QMP address of the QEMU that is to be sampled.
    """
    paired = [case for case in scenario.cases if _foretold(case)]
    if not paired or any(case.forecast for case in comparison.cases):
        return comparison
    question = _question(scenario, paired, comparison.scenario.link, guest)
    try:
        found = look(question, lambda _: None, stop)
    except Cancelled:
        return comparison
    except RamferryError as error:
        note(f"no forecast: {error}")
        return comparison
    said = [_forecast(case, found) for case in scenario.cases]
    cases = [
        entry if one is None else replace(entry, forecast=_record(one))
        for entry, one in zip(comparison.cases, said, strict=True)
    ]
    notes = (*found.notes, *stands_on(found.conditions, [one for one in said if one]))
    return replace(comparison, cases=tuple(cases), forecast_notes=notes)


def _foretold(case: Case) -> bool:
    """Whether its costs are known; those of TLS, and of choices under way, are not among them."""
    return case.route == RELAY_PAIR and not case.tls and case.method != AUTO


def _forecast(case: Case, found: Findings) -> MethodTime | None:
    trial = found.trials.get((case.method, case.level))
    if not _foretold(case) or trial is None:
        return None
    conditions = replace(found.conditions, channels=case.channels)
    return estimate(trial, found.sample.summary, conditions)


def _question(scenario: Scenario, cases: Sequence[Case], link: Link, guest: str) -> TimeQuestion:
    held = {TC: link.probed or link.rate, RELAY_PACING: link.rate}
    return TimeQuestion(
        guest,
        Conditions(
            link_rate=held.get(link.how, 0.0),
            cores=allowed_cores(),
            one_host=True,
            dirty_rate=scenario.guest.dirty_rate,
            dirty_bytes=scenario.guest.hot,
            downtime_limit_ms=scenario.downtime_limit_ms,
        ),
        tuple(dict.fromkeys((case.method, case.level) for case in cases)),
        accelerator=AUTO,
    )


def _record(one: MethodTime) -> Forecast:
    total, still = one.total_seconds, one.downtime_ms
    high = total.high if total and isfinite(total.high) else None
    return Forecast(
        expected_ms=total.expected * 1000 if total else None,
        low_ms=total.low * 1000 if total else None,
        high_ms=None if high is None else high * 1000,
        downtime_ms=still.expected if still else None,
        wire_bytes=one.wire_bytes,
        send_cpu_seconds=one.send_cpu_seconds,
        recv_cpu_seconds=one.recv_cpu_seconds,
        limited_by=one.limited_by,
    )
