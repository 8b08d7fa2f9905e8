"""``ramferry bench`` as a user runs it: real guests, real links, the document, and what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ramferry.bench.link import PREFIX, ShapedLink, sweep, why_not
from ramferry.bench.namespace_probe import probe
from ramferry.control.hosts.host import NAMESPACES
from ramferry.report.benchmark.comparison import Comparison, read

pytestmark = pytest.mark.interop

Peer = Callable[[str], Path]

SCENARIO = """
title = "mini"
description = "A guest of 64 MiB."
[guest]
memory = "64M"
fill = "generator"
{guest}
[link]
rate = "1Gbit"
[[cases]]
methods = ["none", "qatzip"]
channels = [2]
routes = [{routes}]
"""
needs_tc = pytest.mark.skipif(bool(why_not()), reason=f"no link can be shaped here: {why_not()}")


@pytest.fixture(autouse=True)
def _nothing_left() -> object:
    yield
    assert not left_behind()


def left_behind() -> list[str]:
    """Namespaces of benchmarks that do not run any more."""
    names = [path.name for path in NAMESPACES.iterdir()] if NAMESPACES.is_dir() else []
    return [
        name
        for name in names
        if name.startswith(PREFIX) and not Path(f"/proc/{name.split('-')[2]}").exists()
    ]


def scenario(folder: Path, routes: str, guest: str = "") -> Path:
    path = folder / "mini.toml"
    path.write_text(SCENARIO.format(routes=routes, guest=guest))
    return path


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ramferry", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def measured(done: subprocess.CompletedProcess[str], result: Path) -> Comparison:
    assert done.returncode == 0, done.stderr
    found = read(result)
    assert found.finished
    assert not [run.error for case in found.cases for run in case.runs if run.error]
    return found


@pytest.mark.timed
@needs_tc
def test_a_shaped_link_carries_its_rate_and_goes() -> None:
    with ShapedLink(25e6) as link:
        assert 0.85 * 25e6 < probe(link.hosts) < 1.05 * 25e6
        assert (NAMESPACES / link.hosts.source.name).exists()
    assert not (NAMESPACES / link.hosts.source.name).exists()


@pytest.mark.timed
@needs_tc
def test_both_routes_of_a_dirtying_qemu_over_tc(require_peer: Peer, tmp_path: Path) -> None:
    require_peer("qemu-system-x86_64")
    path = scenario(tmp_path, '"relay pair"', 'dirty-rate = "4M"\nhot = "4M"')
    text = path.read_text() + '[[cases]]\nmethods = ["none"]\nchannels = [2]\n'
    path.write_text(text + 'routes = ["QEMU built-in"]\n')
    result = tmp_path / "r.json"
    done = bench(path, "--repeat", "1", "--json", result)
    found = measured(done, result)
    assert found.scenario.link.how == "tc"
    assert found.scenario.link.probed is not None
    assert 0.85 * 125e6 < found.scenario.link.probed < 1.05 * 125e6
    assert [case.label for case in found.cases] == [
        "none (relay pair)",
        "qatzip 1 (relay pair)",
        "none (QEMU built-in)",
    ]
    for case in found.cases:
        (one,) = case.results
        assert one.route == case.route
        assert one.mbps < 1050
        assert case.runs[0].timeline
    assert "As ratios to none" in done.stdout
    assert "qatzip, documented" in done.stdout


def test_the_built_in_guest_paced_by_relays(tmp_path: Path) -> None:
    path = scenario(tmp_path, '"relay pair"', 'kind = "built-in"')
    result = tmp_path / "r.json"
    found = measured(bench(path, "--shape", "relay", "--repeat", "1", "--json", result), result)
    assert (found.scenario.link.how, found.scenario.link.probed) == ("relay pacing", None)
    assert all(one.mbps < 1100 for case in found.cases for one in case.results)


@needs_tc
def test_the_native_route_over_tc_with_the_document_on_standard_output(tmp_path: Path) -> None:
    path = scenario(tmp_path, '"native"', 'kind = "built-in"')
    done = bench("run", path, "--repeat", "1", "--json", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cases"][0]["route"] == "native"
    assert "As ratios to none" in done.stderr


@pytest.mark.timed
def test_without_tc_each_route_is_held_by_what_can_or_not_run(
    require_peer: Peer, tmp_path: Path
) -> None:
    require_peer("qemu-system-x86_64")
    path = scenario(tmp_path, '"QEMU built-in", "relay pair"')
    path.write_text(path.read_text().replace('"none", "qatzip"', '"none", "zstd"'))
    result = tmp_path / "r.json"
    options = ("--shape", "relay", "--max-bandwidth", "200Mbit", "--qemu", "7.2", "--repeat", "1")
    done = bench(path, *options, "--json", result)
    assert done.returncode == 0, done.stderr
    none, zstd, *pairs = read(result).cases
    assert (none.label, zstd.label) == ("none (QEMU built-in)", "zstd 1 (QEMU built-in)")
    assert "QEMU 7.2 caps memory before compression" in zstd.skipped
    assert f"not run: {zstd.label}: QEMU 7.2 caps memory" in done.stderr
    assert not zstd.runs
    assert "Failed runs" in done.stdout
    for case in (none, *pairs):
        (one,) = case.results
        # QEMU lets go at the switchover: what fits 300 ms of the link goes as fast as it can
        assert one.mbps < 270
        assert case.runs[0].others_cores is not None
    assert none.forecast is None
    for case in pairs:
        assert case.forecast
        assert case.forecast.wire_bytes == pytest.approx(case.results[0].wire_bytes, rel=0.15)
    assert "Forecast" in done.stdout


def interrupted(tmp_path: Path, number: signal.Signals) -> tuple[int, Comparison]:
    """End a benchmark of four runs after the first; its exit code, and what its file has."""
    path = scenario(tmp_path, '"relay pair"', 'kind = "built-in"')
    result = tmp_path / "r.json"
    command = [sys.executable, "-m", "ramferry", "bench", path, "--repeat", "2", "--json", result]
    with (tmp_path / "said").open("w") as said:
        running = subprocess.Popen(command, stdout=said, stderr=said)
    deadline = time.monotonic() + 60
    while not (result.exists() and result.stat().st_size):
        assert running.poll() is None, (tmp_path / "said").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(number)
    code = running.wait(30)
    before = read(result)
    assert not before.finished
    done = sum(len(case.runs) for case in before.cases)
    assert 0 < done < 4
    return code, before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_the_finished_runs(tmp_path: Path, number: signal.Signals) -> None:
    code, _ = interrupted(tmp_path, number)
    assert code == 6
    assert "the finished runs are kept" in (tmp_path / "said").read_text()


def test_killed_it_goes_on_with_the_runs_that_are_left(tmp_path: Path) -> None:
    """From a file like that of any other end, which ``interrupted`` reads."""
    _, before = interrupted(tmp_path, signal.SIGKILL)
    sweep()
    result = tmp_path / "r.json"
    rest = bench(tmp_path / "mini.toml", "--repeat", "2", "--resume", result)
    again = measured(rest, result)
    assert [len(case.runs) for case in again.cases] == [2, 2]
    assert again.started == before.started
    assert again.cases[0].runs[0] == before.cases[0].runs[0]


@pytest.mark.timed
def test_codec_beside_the_real_libqatzip(require_peer: Peer, tmp_path: Path) -> None:
    qzip = require_peer("qzip")
    result = tmp_path / "c.json"
    arguments = ("codec", "--size", "16M", "--methods", "zlib,qatzip", "--levels", "1")
    command = [sys.executable, "-m", "ramferry", "bench", *arguments, "--json", result]
    environ = os.environ | {"RAMFERRY_PEERS": str(qzip.parent)}
    subprocess.run(command, check=True, timeout=110, env=environ, capture_output=True)
    rows = {(row["name"], row["cores"]): row for row in json.loads(result.read_text())["codecs"]}
    ours, theirs = rows["qatzip", 1], rows["libqatzip (qzip)", 1]
    assert 0.9 < ours["ratio"] / theirs["ratio"] < 1.2
    assert ours["compress"]["middle"] > theirs["compress"]["middle"]
    cores = max(count for _, count in rows)
    for name in ("qatzip", "libqatzip (qzip)", "QEMU's zlib", "zlib"):
        assert {count for found, count in rows if found == name} == {1, cores}
    assert rows["libqatzip (qzip)", cores]["ratio"] == pytest.approx(theirs["ratio"], rel=0.02)
    assert rows["QEMU's zlib", 1]["backend"].startswith("zlib 1.")
