"""``ramferry bench links`` as a user runs it: real guests over a real link, its document, its
page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ramferry.bench.link import ShapedLink, why_not
from ramferry.bench.namespace_probe import probe
from ramferry.report.benchmark.series import LinkSeries, read

pytestmark = pytest.mark.interop

Peer = Callable[[str], Path]

needs_tc = pytest.mark.skipif(bool(why_not()), reason=f"no link can be shaped here: {why_not()}")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ramferry", *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "RAMFERRY_DATA": ""},
    )


def links(file: Path, *more: str) -> LinkSeries:
    line = ("--memory", "128M", "--repeat", "1", "--built-in", "", "--channels", "2")
    done = run("bench", "links", *line, *more, "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert "auto over the others" in done.stdout
    found = read(file)
    assert isinstance(found, LinkSeries)
    assert found.finished
    assert not [
        one.error for rate in found.comparisons for case in rate.cases for one in case.runs
        if one.error
    ]  # fmt: skip
    return found


@pytest.mark.timed
@needs_tc
def test_a_link_is_reshaped_while_it_lives() -> None:
    with ShapedLink(12.5e6) as link:
        link.reshape(50e6)
        assert 0.85 * 50e6 < probe(link.hosts) < 1.05 * 50e6
        link.reshape(link.rate)
        assert 0.85 * 12.5e6 < probe(link.hosts) < 1.05 * 12.5e6


@needs_tc
def test_auto_beside_a_fixed_choice_over_one_rate(require_peer: Peer, tmp_path: Path) -> None:
    require_peer("qemu-system-x86_64")
    file = tmp_path / "links.json"
    found = links(file, "--rates", "500Mbit", "--fixed", "zstd:1")
    (rate,) = found.comparisons
    assert [case.label for case in rate.cases] == [
        "none (relay pair)", "auto (relay pair)", "zstd 1 (relay pair)",
    ]  # fmt: skip
    (auto,) = rate.cases[1].results
    source = auto.relays[0]
    assert source.choosing is not None
    assert source.choosing.timeline
    page = tmp_path / "r.html"
    done = run("report", str(file), "-o", str(page))
    assert done.returncode == 0, done.stderr
    assert "What auto chose" in page.read_text(encoding="utf-8")


@pytest.mark.timed
@needs_tc
def test_a_link_that_falls_in_mid_migration(require_peer: Peer, tmp_path: Path) -> None:
    """The wire's rate before and after the moment is seen in the timeline of the run."""
    require_peer("qemu-system-x86_64")
    change = ("--change", "link", "--change-at", "1", "--change-rate", "40Mbit")
    # so slow that auto, too, is not over before
    slowly = ("--rates", "200Mbit", "--memory", "96M")
    found = links(tmp_path / "l.json", *slowly, "--fixed", "", *change)
    (rate,) = found.comparisons
    assert rate.scenario.change == "the link carries 40 Mbit/s in place of 200 Mbit/s from 1 s on"
    points = [one for one in rate.cases[0].runs[0].timeline if one.wire_bytes is not None]
    before = [one for one in points if one.seconds <= 1.0][-1]
    later = [one for one in points if 1.5 <= one.seconds <= 3.0]
    fast = (before.wire_bytes or 0) / before.seconds
    took = later[-1].seconds - later[0].seconds
    slow = ((later[-1].wire_bytes or 0) - (later[0].wire_bytes or 0)) / took
    assert slow < 6.5e6 < 12.5e6 < fast
