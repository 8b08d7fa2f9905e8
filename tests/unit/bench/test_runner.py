"""bench.runner: what may be resumed, and what fills a guest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_course import BLANK

from ramferry.bench.machine import difference, host_facts
from ramferry.bench.qemu import QemuBinary
from ramferry.bench.runner import files_of, fill_in_words, not_run, resumed
from ramferry.bench.scenario import Case
from ramferry.errors import UsageError
from ramferry.report.benchmark.comparison import BUILT_IN, NATIVE, Comparison, Forecast, Link, Run
from ramferry.vocabulary import RELAY_PAIR

BEFORE = replace(
    BLANK,
    cases=tuple(replace(case, runs=(Run(None, error="x"),)) for case in BLANK.cases),
    machine={"cpu": "c", "load_before": 1.0},
    finished=False,
)


def test_resumed_is_the_former_with_its_runs() -> None:
    scenario = replace(BLANK.scenario, link=Link(0.0, "none", 5.0))
    fresh = replace(BLANK, scenario=scenario, machine={"cpu": "c", "load_before": 9.0})
    assert resumed(BEFORE, fresh) == BEFORE


@pytest.mark.parametrize(
    ("fresh", "sentence"),
    [
        (replace(BLANK, machine={"cpu": "d"}), "of another machine (cpu: c, here d)"),
        (
            replace(BLANK, scenario=replace(BLANK.scenario, workload="busy")),
            "of another scenario (workload: idle, here busy)",
        ),
        (
            replace(BLANK, scenario=replace(BLANK.scenario, link=Link(1e6, "tc"))),
            "of another scenario (link: 0.0 MB/s by none, here 1.0 MB/s by tc)",
        ),
        (replace(BLANK, cases=BLANK.cases[:2]), "its cases are none, zstd, qatzip"),
        (replace(BLANK, ramferry="9"), "of another Ramferry"),
    ],
)
def test_another_scenario_or_machine_is_refused(fresh: Comparison, sentence: str) -> None:
    with pytest.raises(UsageError) as refusal:
        resumed(BEFORE, fresh)
    assert sentence in str(refusal.value)


def test_forecasts_are_kept() -> None:
    forecast = Forecast(1.0, 1.0, 1.0, 1.0, 1, 1.0, 1.0, "link")
    before = replace(BEFORE, cases=tuple(replace(c, forecast=forecast) for c in BEFORE.cases))
    assert resumed(before, replace(BLANK, machine=BEFORE.machine)).cases == before.cases


PACED, SHAPED = Link(1e8, "relay pacing"), Link(1e8, "tc")
OLD, NEW = (QemuBinary(Path("q"), version) for version in ((9, 2, 0), (10, 0, 0)))


@pytest.mark.parametrize(
    ("method", "route", "link", "binary", "runs"),
    [
        ("zstd", BUILT_IN, PACED, OLD, False),
        ("zstd", BUILT_IN, PACED, NEW, True),
        ("none", BUILT_IN, PACED, OLD, True),
        ("zstd", BUILT_IN, SHAPED, OLD, True),
        ("zstd", RELAY_PAIR, PACED, OLD, True),
        ("zstd", NATIVE, PACED, None, True),
    ],
)
def test_what_nothing_can_hold_to_the_links_rate_is_not_run(
    method: str, route: str, link: Link, binary: QemuBinary | None, runs: bool
) -> None:
    said = not_run(Case(method, None, 8, route), link, binary)
    assert (said == "") is runs
    assert runs or said.startswith("QEMU 9.2 caps memory before compression, not the link's bytes")


def test_facts_of_this_machine_do_not_differ_from_themselves() -> None:
    facts = host_facts()
    assert difference(facts, host_facts()) == ""
    assert facts["governor"]
    assert difference(facts, {**facts, "cores": 99}).startswith("cores: ")


def test_governors_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "devices/system/cpu/cpufreq/policy0"
    folder.mkdir(parents=True)
    (folder / "scaling_governor").write_text("performance\n")
    assert host_facts(tmp_path)["governor"] == "performance"
    assert host_facts(tmp_path / "x")["governor"] == "none: no cpufreq here"


def test_what_fills_the_guest(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(bytes(2 << 20))
    assert files_of(("data",), (file,)) == (file,)
    assert files_of(("generator",), (file,)) == ()
    assert files_of((str(file),), ()) == (file,)
    with pytest.raises(UsageError, match="no such file"):
        files_of((str(tmp_path / "x"),), ())
    assert fill_in_words((), 0.5).endswith("zero pages; in its last 50% random bytes")
    assert fill_in_words((file,), 1) == "random bytes"
    assert fill_in_words((file,) * 4) == "files: data, data, data and 1 more (8 MiB together)"
