"""``ramferry bench links``: what is refused at once, and the course of its rates."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from comparisons import series
from ramferry.bench.runner import Bench
from ramferry.cli.bench_links import command
from ramferry.cli.runs import bench_links
from ramferry.errors import Cancelled, RamferryError
from ramferry.report.benchmark.comparison import Comparison
from ramferry.report.benchmark.series import LinkSeries, document_of, read


def ask(*arguments: str) -> Any:
    """The command's result; an error of Ramferry's comes out as it is."""
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--rates fast", "--rates: 'fast' is no rate: write 100Mbit,1Gbit"),
        ("--rates 1Gbit,0", "--rates: '0' is no rate"),
        ("--fixed lzo", "--fixed: 'lzo' is no METHOD:LEVEL"),
        ("--change-at 4", "--change-at is for --change link"),
        ("--change load --change-at x", "--change-at: 'x' is no number of seconds, or two"),
        ("--change load --change-at nan", "--change-at: 'nan' is no number of seconds"),
        ("--change link --shape relay", "--change link takes a link that tc holds"),
        ("--memory 1M", "--memory must be 64M or more"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(line: str, sentence: str) -> None:
    with pytest.raises(RamferryError) as refusal:
        ask(*line.split())
    assert sentence in str(refusal.value)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Bench], Comparison]], None]:
    """Puts what a benchmark's runs give in the place of QEMUs."""

    def stand_in(run: Callable[[Bench], Comparison]) -> None:
        def measured(bench: Bench, keep: Callable[[Comparison], str], at: object) -> Comparison:
            del at
            found = run(bench)
            assert keep(found) == ""
            return found

        monkeypatch.setattr(bench_links, "measured", measured)
        monkeypatch.setattr(bench_links, "choose_qemu", lambda *_, **__: None)

    return stand_in


def of(bench: Bench, **changes: Any) -> Comparison:
    """A made-up comparison of a bench's scenario."""
    made = series(repeats=1).comparisons[0]
    wanted = bench.scenario
    link = replace(made.scenario.link, rate=wanted.rate)
    size = wanted.guest.memory
    scenario = replace(made.scenario, name=wanted.name, link=link, memory_bytes=size)
    return replace(made, scenario=scenario, **changes)


def test_all_rates_are_one_document(machine: Any, tmp_path: Path) -> None:
    seen: list[Bench] = []

    def run(bench: Bench) -> Comparison:
        seen.append(bench)
        return of(bench)

    machine(run)
    file = tmp_path / "l.json"
    done = ask("--rates", "1Gbit,100Mbit", "--memory", "128M", "--json", str(file))
    found = read(file)
    assert isinstance(found, LinkSeries)
    assert found.finished
    assert found.title == "auto, fixed choices and QEMU's own over links of 100 Mbit/s to 1 Gbit/s"
    assert [one.scenario.name for one in found.comparisons] == ["links-100Mbit", "links-1Gbit"]
    assert [bench.forecasts for bench in seen] == [False, False]
    assert "auto over the others" in done.output
    assert "What auto chose" in done.output


def test_an_interruption_keeps_what_is_there_and_is_gone_on_with(
    machine: Any, tmp_path: Path
) -> None:
    machine(lambda bench: of(bench, finished=bench.scenario.rate < 100e6))
    file = tmp_path / "l.json"
    line = ("--rates", "100Mbit,1Gbit,5Gbit", "--memory", "128M")
    with pytest.raises(Cancelled, match=f"`--resume {file}` goes on"):
        ask(*line, "--json", str(file))
    kept = read(file)
    assert isinstance(kept, LinkSeries)
    assert (len(kept.comparisons), kept.finished) == (2, False)
    before: list[Comparison | None] = []

    def rest(bench: Bench) -> Comparison:
        before.append(bench.before)
        return of(bench)

    machine(rest)
    ask(*line, "--resume", str(file))
    assert before == [*kept.comparisons, None]
    found = read(file)
    assert isinstance(found, LinkSeries)
    assert (len(found.comparisons), found.finished) == (3, True)


def test_another_result_is_no_series_to_go_on_with(machine: Any, tmp_path: Path) -> None:
    machine(of)
    file = tmp_path / "r.json"
    file.write_text(json.dumps(document_of(series().comparisons[0])))
    with pytest.raises(RamferryError, match="is of `bench run`, not of `bench links`"):
        ask("--resume", str(file))


def test_nothing_that_came_through_is_an_error(machine: Any) -> None:
    def run(bench: Bench) -> Comparison:
        found = of(bench)
        failed = replace(found.cases[0].runs[0], result=None, error="the link broke")
        return replace(found, cases=tuple(replace(one, runs=(failed,)) for one in found.cases))

    machine(run)
    with pytest.raises(RamferryError, match="no run came through: the link broke"):
        ask("--rates", "1Gbit", "--memory", "128M")
