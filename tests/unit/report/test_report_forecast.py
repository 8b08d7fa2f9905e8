"""What ``ramferry plan time`` prints."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from ramferry.forecast.choice import choose
from ramferry.forecast.estimate import Conditions, estimate
from ramferry.metrics.forecast import UNTOUCHED, Range, SampleSummary, TimePlan, Trial
from ramferry.report.forecast import document, print_times
from ramferry.report.lines import Lines

SAMPLE = SampleSummary("qmp:/vm", 1 << 30, 1 << 26, 256, 4096, Range(0.2, 0.25, 0.3))
SECONDS = Range(1.9e-9, 2e-9, 2.1e-9)
ZSTD = Trial("zstd", 1, "zstd", 96, Range(0.24, 0.25, 0.26), SECONDS, SECONDS, 2e-9, 2e-9)


def plan(dirty_rate: float = 0.0, trials: tuple[Trial, ...] = (UNTOUCHED, ZSTD)) -> TimePlan:
    conditions = Conditions(link_rate=125e6, cores=2, dirty_rate=dirty_rate)
    methods = [estimate(one, SAMPLE, conditions) for one in trials]
    choice, reason = choose(methods, dirty_rate)
    return TimePlan(
        SAMPLE, 125e6, "--link", 2, False, 8, dirty_rate, "given", 300, tuple(methods), choice,
        reason, ("the guest is paused",),
    )  # fmt: skip


def printed(what: TimePlan) -> str:
    stream = io.StringIO()
    print_times(what, Lines(Console(file=stream, width=60)))
    return stream.getvalue()


def test_a_row_for_each_method_and_the_choice() -> None:
    planned = plan()
    text = printed(planned)
    lines = text.splitlines()
    assert lines[0] == (
        "an idle guest of 1.0 GiB, by a relay pair over a link of 125 MB/s (--link):"
        " 8 channels, 2 cores at each side"
    )
    assert "64 MiB in 256 pieces; 25% zero pages (20% to 30%)" in lines[1]
    rows = {line.split("  ")[0]: line for line in lines[3:7]}
    assert rows["none"].split()[1:4] == ["5.88", "-", "7.13"]
    rate = planned.methods[1].break_even_rate
    assert rate
    assert rows["zstd 1"].split()[-3:] == ["link", f"{rate / 1e6:.0f}", "MB/s"]
    assert "the guest is paused" in text
    assert lines[-1] == (
        "$ ramferry migrate qmp:/vm DESTINATION --method zstd --relay both --channels 8"
    )


@pytest.mark.parametrize(
    ("dirty_from", "said"),
    [
        ("given", "an idle guest of 1.0 GiB, by"),
        ("measured", "an idle guest of 1.0 GiB (as measured), by"),
        ("assumed", "an idle guest of 1.0 GiB (assumed: see --measure-dirty), by"),
    ],
)
def test_who_says_that_a_guest_is_idle(dirty_from: str, said: str) -> None:
    assert printed(replace(plan(), dirty_from=dirty_from)).startswith(said)


def test_what_does_not_converge_says_so_and_nothing_is_advised() -> None:
    text = printed(plan(dirty_rate=2e9))
    assert text.count("does not converge") == 2
    assert "a guest that dirties 2000 MB/s (given)" in text
    assert text.splitlines()[-1].startswith("no method converges")


def test_the_document_is_json_also_where_a_range_has_no_end() -> None:
    unsure = Trial(
        "zstd", 1, "zstd", 96, Range(0.2, 0.25, 1.5), SECONDS, SECONDS, 2e-9, 2e-9
    )  # fmt: skip
    what = plan(dirty_rate=200e6, trials=(UNTOUCHED, unsure))
    text = json.dumps(document(what), allow_nan=False)
    found = json.loads(text)
    assert (found["format"], found["version"]) == ("forecast", 5)
    assert found["route"] == "relay pair"
    assert found["methods"][0]["total_seconds"] is None
    assert found["methods"][1]["total_seconds"]["high"] is None
    assert "over " in printed(what)
