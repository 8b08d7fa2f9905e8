"""Made-up comparisons of ramferry bench, the same every time."""

from __future__ import annotations

import random
from dataclasses import replace

from ramferry.metrics import MigrationResult, RelayCounters, RelayResult
from ramferry.metrics.choosing import ChoiceEntry, Choosing
from ramferry.report.benchmark.comparison import (
    CaseRuns,
    Comparison,
    Forecast,
    Link,
    Run,
    Scenario,
    TimelinePoint,
)
from ramferry.report.benchmark.series import LinkSeries

GIB = 1 << 30
MEMORY = 4 * GIB

CASES = (
    ("none", None, "QEMU built-in", 13.8, 1.0, 45.0),
    ("zstd", 1, "QEMU built-in", 6.1, 2.76, 160.0),
    ("zlib", 1, "QEMU built-in", 15.2, 2.9, 190.0),
    ("none", None, "relay pair", 13.9, 1.0, 70.0),
    ("zstd", 1, "relay pair", 6.0, 2.76, 165.0),
    ("qatzip", 1, "relay pair", 5.2, 2.88, 150.0),
    ("qatzip", 1, "native", 4.7, 2.88, 155.0),
)
"""Method, level, route, seconds, ratio, CPU of the sending side in %."""


def comparison(*, seed: int = 1, slower: float = 1.0, repeats: int = 3) -> Comparison:
    """A finished comparison; ``slower`` stretches every time."""
    chance = random.Random(seed)
    scenario = Scenario(
        name="seed",
        title="QEMU's QATzip documentation, scaled",
        description="An idle guest full of files moves over 8 channels by every method.",
        guest="QEMU 10.0",
        memory_bytes=MEMORY,
        fill="Silesia corpus, repeated",
        workload="idle",
        link=Link(312.5e6, "tc", 309.2e6),
        documented_memory_bytes=128 * GIB,
        scaling="Scaled from 128 GiB to 4 GiB: this machine has 24 GiB of memory.",
    )
    cases = []
    for method, level, route, seconds, ratio, cpu in CASES:
        label = f"{method}{'' if level is None else f' {level}'} ({route})"
        runs = tuple(
            _run(chance, label, (method, level, route), seconds * slower, ratio, cpu)
            for _ in range(repeats)
        )
        forecast = _forecast(seconds, ratio, cpu) if route == "relay pair" else None
        cases.append(CaseRuns(label, method, level, 8, route, runs, forecast))
    machine = {
        "cpu": "A processor of 2 cores",
        "cores": 2,
        "kernel": "6.12.1",
        "governor": None,
        "libraries": {"isal": "1.9.1", "zstandard": "0.25.0"},
        "load_before": 0.21,
    }
    return Comparison(scenario, machine, tuple(cases), "2026-11-24T10:00:00+00:00", True, "0.4.0")


RATES = (31.25e6, 125e6, 1250e6)

AUTO_TIMES = (0.9, 1.0, 1.04)
"""Of auto, at each of the rates, over the best fixed choice."""


def series(*, repeats: int = 3) -> LinkSeries:
    """Links of three rates: times shrink as they grow, up to a floor that the cores set."""
    found = []
    for number, rate in enumerate(RATES):
        one = comparison(seed=number, slower=max(1.0, 312.5e6 / rate), repeats=repeats)
        cases = [replace(case, forecast=None) for case in one.cases if case.route != "native"]
        best = next(case for case in cases if case.label == "qatzip 1 (relay pair)")
        cases.insert(1, _auto(best, AUTO_TIMES[number]))
        scenario = replace(one.scenario, link=Link(rate, "tc"), scaling="")
        found.append(replace(one, scenario=scenario, cases=tuple(cases)))
    return LinkSeries("auto over links", "An idle guest.", tuple(found), True, "0.4.0")


def _auto(like: CaseRuns, over: float) -> CaseRuns:
    label = "auto (relay pair)"
    runs = tuple(_chosen(run, label, over) for run in like.runs)
    return CaseRuns(label, "auto", None, 8, "relay pair", runs)


def _chosen(run: Run, label: str, over: float) -> Run:
    assert run.result is not None
    took = round(run.result.total_time_ms * over)
    entry = ChoiceEntry(
        seconds=0.5,
        methods={"text-like": "zstd 3", "binary": "zstd 3", "incompressible": "none"},
        rate=3.1e8,
        limited_by="link",
        runner_up={"text-like": "zstd 1", "binary": "zstd 1", "incompressible": "none"},
        runner_up_rate=3e8,
        link=1.17e8,
        link_known=True,
        near_cores=1.2,
        far_cores=1.9,
    )
    first = replace(entry, seconds=0.1, methods=dict.fromkeys(entry.methods, "none"))
    first = replace(first, link_known=False)
    told = Choosing(
        page_bytes={"zstd 3": 900, "none": 100},
        wire_bytes={"zstd": 300, "none": 100},
        changes=1,
        trials=7,
        trial_seconds=0.05,
        policy_seconds=0.03,
        timeline=(first, entry),
    )
    counters = RelayCounters(took / 1000, 1, 1, 1, 1, 0, 1, 1, 2.0)
    relay = RelayResult(
        True, "", 0, "none", "auto", None, "zstd", 8, True, 1 << 26, counters, choosing=told
    )
    result = replace(
        run.result, name=label, method="auto", level=None, total_time_ms=took, relays=(relay,)
    )
    return replace(run, result=result)


def failed(found: Comparison, sentence: str) -> Comparison:
    """The same, interrupted, after the last case's second run failed."""
    *others, last = found.cases
    runs = (last.runs[0], replace(last.runs[1], result=None, error=sentence))
    return replace(found, cases=(*others, replace(last, runs=runs)), finished=False)


def _forecast(seconds: float, ratio: float, cpu: float) -> Forecast:
    """A tenth too long."""
    total, sent = 1100 * seconds, round(MEMORY * 0.93 / ratio)
    busy = cpu / 100 * seconds
    return Forecast(total, total * 0.9, total * 1.1, 249.0, sent, busy, busy * 0.5, "link")


def _run(
    chance: random.Random,
    label: str,
    case: tuple[str, int | None, str],
    seconds: float,
    ratio: float,
    cpu: float,
) -> Run:
    method, level, route = case
    took = seconds * chance.uniform(0.97, 1.03)
    guest = int(MEMORY * 0.93)
    sent = int(guest / ratio)
    percent = cpu * chance.uniform(0.95, 1.05)
    result = MigrationResult(
        name=label,
        method=method,
        level=level,
        channels=8,
        route=route,
        total_time_ms=round(took * 1000),
        downtime_ms=chance.randint(18, 60),
        mbps=sent * 8 / 1e6 / took,
        pages_per_second=MEMORY / 4096 / took,
        send_cpu_percent=percent,
        recv_cpu_percent=percent * 0.6,
        wire_bytes=sent,
        normal_bytes=guest,
        ratio=ratio,
        backend="isa-l" if method == "qatzip" else method,
        dirty_sync_count=4,
    )
    busy = percent / 100 * took
    return Run(result, busy, busy * 0.6, _timeline(chance, took, sent))


def _timeline(chance: random.Random, took: float, sent: int) -> tuple[TimelinePoint, ...]:
    points = []
    done = 0.0
    for step in range(41):
        seconds = took * step / 40
        part = step / 40
        iteration = 1 + (part > 0.8) + (part > 0.92) + (part >= 0.97)
        status = "active" if step < 39 else "device" if step == 39 else "completed"
        left = round(MEMORY * max(0.0, 1 - part / 0.8 if part <= 0.8 else (1 - part) * 0.3))
        done = part if step == 40 else max(done, part * chance.uniform(0.98, 1.0))
        points.append(
            TimelinePoint(
                seconds, iteration, status, round(sent * done), left, round(MEMORY * done)
            )
        )
    return tuple(points)
