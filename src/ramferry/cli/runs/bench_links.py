"""What ``ramferry bench links`` does; its options are in ``cli.bench_links``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from ramferry.allowance import whole_cores
from ramferry.bench.fill import data_files
from ramferry.bench.links import Asked, choices, plan
from ramferry.bench.qemu import QemuBinary, choose_qemu
from ramferry.bench.runner import SHAPED_BY, Bench
from ramferry.bench.scenario import Scenario, fitted, with_memory
from ramferry.bench.shapes import BY_RELAYS, BY_TC, LINK
from ramferry.cli.bench_screen import interrupted, measured, reason
from ramferry.cli.results import done_all_the_same
from ramferry.cli.results_file import ResultFile
from ramferry.cli.terminal import Terminal, terminal
from ramferry.codec import METHODS
from ramferry.errors import HostError, UsageError
from ramferry.report.benchmark.chapters import Report
from ramferry.report.benchmark.comparison import Comparison
from ramferry.report.benchmark.series import LinkSeries, read
from ramferry.report.benchmark.series_chapter import NamedSeries, series_chapter
from ramferry.report.formats.text import draw
from ramferry.units import bit_rate, parse_rate


def run(
    qemu: str | None, shape: str, json_file: str | None, resume: str | None, **wanted: Any
) -> None:
    """Run it, with the values of its options.

    :param wanted: those of ``asked_for``.
    """
    asked = asked_for(**wanted)
    if asked.change == LINK and shape == BY_RELAYS:
        raise UsageError("--change link takes a link that tc holds: leave out --shape relay")
    scenarios = plan(asked, whole_cores())
    before = _before(resume)
    result = ResultFile(json_file or resume, "links", 1)
    course = _Course(
        choose_qemu(qemu, newest=True),
        data_files(os.environ.get("RAMFERRY_DATA", "")),
        SHAPED_BY[BY_TC if asked.change == LINK else shape],
        result,
        before,
    )
    with terminal() as at:
        series = course.run(scenarios, at)
    _end(series, result)


def asked_for(
    rates: str | None,
    fixed: str | None,
    built_in: str | None,
    change_at: str | None,
    repeat: int,
    **more: Any,
) -> Asked:
    """What is to be compared.

    :param more: options whose values are fields of ``Asked`` as they are.
    :raise UsageError: a text that says nothing.
    """
    return Asked(
        rates=_rates(rates),
        fixed=None if fixed is None else choices(fixed, tuple(METHODS), "--fixed"),
        built_in=None if built_in is None else choices(built_in, tuple(METHODS), "--built-in"),
        change_at=_moments(change_at),
        repeats=repeat,
        **more,
    )


class _Course:
    """The scenarios, one after another, on the same machine."""

    def __init__(
        self,
        binary: QemuBinary,
        data: tuple[Path, ...],
        shape: str,
        result: ResultFile,
        before: LinkSeries | None,
    ) -> None:
        self._binary, self._data, self._shape, self._result = binary, data, shape, result
        found = () if before is None else before.comparisons
        self._before = {one.scenario.name: one for one in found}

    def run(self, scenarios: Sequence[Scenario], at: Terminal) -> LinkSeries:
        """All that was measured; not finished if it was interrupted."""
        series = _blank(scenarios)
        for number, scenario in enumerate(scenarios, 1):
            at.say(f"link {number} of {len(scenarios)}: {bit_rate(scenario.rate)}")
            comparison = self._one(scenario, series, at)
            series = _with(series, comparison)
            if not comparison.finished:
                return series
        return replace(series, finished=True)

    def _one(self, scenario: Scenario, series: LinkSeries, at: Terminal) -> Comparison:
        before = self._before.get(scenario.name)
        if before is None:
            scenario, said = fitted(scenario, psutil.virtual_memory().available)
        else:
            scenario, _ = with_memory(scenario, before.scenario.memory_bytes)
            said = before.scenario.scaling
        if said:
            at.say(said)
        bench = Bench(
            scenario,
            said,
            None,
            self._binary,
            self._data,
            self._shape,
            at.say,
            at.stop,
            before,
            forecasts=False,
        )
        return measured(bench, lambda so_far: self._result.keep(_with(series, so_far)), at)


def _blank(scenarios: Sequence[Scenario]) -> LinkSeries:
    rates = [bit_rate(one.rate) for one in scenarios]
    links = f"a link of {rates[0]}" if len(rates) == 1 else f"links of {rates[0]} to {rates[-1]}"
    first = scenarios[0]
    changed = f"; {first.change.words(first.rate)}" if first.change else ""
    if share := first.guest.random_share:
        changed += f"; random bytes fill its last {share:.0%}"
    return LinkSeries(
        title=f"auto, fixed choices and QEMU's own over {links}",
        description=f"At each rate an idle guest moves by every contender in turn{changed}.",
        comparisons=(),
        finished=False,
    )


def _with(series: LinkSeries, comparison: Comparison) -> LinkSeries:
    return replace(series, comparisons=(*series.comparisons, comparison))


def _end(series: LinkSeries, result: ResultFile) -> None:
    try:
        result.end(series)
    finally:
        _show(series, result)
    if not series.finished:
        raise interrupted(result)
    if not series.measured:
        raise HostError(f"no run came through: {reason(series.comparisons[0])}")


def _show(series: LinkSeries, result: ResultFile) -> None:
    """Print what is said of all rates: on standard error if the document went to standard output;
    ``ramferry report`` has the rest."""
    with done_all_the_same():
        stream = sys.stderr if result.to_stdout else sys.stdout
        if stream is not None:
            stream.write(draw(Report((), (), (series_chapter(NamedSeries(result.name, series)),))))
            stream.flush()


def _before(resume: str | None) -> LinkSeries | None:
    if resume is None:
        return None
    found = read(Path(resume))
    if not isinstance(found, LinkSeries):
        raise UsageError(f"--resume: {resume} is of `bench run`, not of `bench links`")
    return found


def _rates(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    found = [(part, parse_rate(part)) for part in text.split(",")]
    for part, rate in found:
        if not rate:
            raise UsageError(f"--rates: {part!r} is no rate: write 100Mbit,1Gbit")
    return tuple(rate for _, rate in found if rate)


def _moments(text: str | None) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        found = (-1.0,)
    if not all(0 <= one < 1e6 for one in found):
        raise UsageError(f"--change-at: {text!r} is no number of seconds, or two: write 4,9.5")
    return found
