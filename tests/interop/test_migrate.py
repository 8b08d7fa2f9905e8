"""``ramferry migrate`` between real QEMUs: all methods arrive, all early ends leave the guest."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from migrating import MIB, Pair, assert_same_ram, run_state, status, two_qemus, until
from qemu_faults import once_more_if_qemu_fails, raise_known

from ramferry.bench import boot_sector
from ramferry.bench.fill import fill
from ramferry.bench.qemu import Qemu

pytestmark = pytest.mark.interop

MEMORY = 96 * MIB
SLOW = ("--method", "qatzip", "--max-bandwidth", "2M")
"""A pair of relays, and 15 s to do something to it."""

BOTH = pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)


@contextmanager
def filled(pair: Pair) -> Iterator[tuple[Qemu, Qemu]]:
    """Two QEMUs; the source's paused guest is full of data."""
    with two_qemus(pair, MEMORY) as (source, destination):
        fill(source.ram)
        yield source, destination


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ramferry", "migrate", *map(str, arguments)]


def migrate(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def migrating(source: Qemu, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """The command, once the source's migration is under way; ended at the latest here."""
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            until("an active migration", lambda: sent(source) > MIB, 60)
            yield process
        finally:
            process.kill()


def sent(source: Qemu) -> int:
    """Guest memory that the source's migration has sent."""
    ram = source.qmp.execute("query-migrate").get("ram", {})
    return int(ram.get("normal-bytes", 0))


def settings(qemu: Qemu) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    parameters = qemu.qmp.execute("query-migrate-parameters")
    return parameters, qemu.qmp.execute("query-migrate-capabilities")


def relays_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    return [child for child in children if "relay" in child.cmdline()]


def assert_guest_stayed(
    source: Qemu, before: object, state: str = "prelaunch", told: str = ""
) -> None:
    """The guest is as it was, and so are all settings.

    :param told: what the command said of a migration whose channels broke.
    :raise QemuFault: it said that this QEMU keeps them, so that multifd was left on.
    """
    assert run_state(source) == state
    raise_known(told, source.binary)
    assert settings(source) == before


@pytest.mark.parametrize("pair", ["stock"], indirect=True)
@pytest.mark.parametrize(
    ("options", "route", "backend"),
    [
        (("--method", "none"), "QEMU built-in", "QEMU 7.2"),
        (("--method", "zstd"), "QEMU built-in", "QEMU 7.2"),
        (("--method", "zlib", "--level", 6), "source relay", "zlib-ng"),
        (("--method", "zstd", "--relay", "both"), "relay pair", "zstd"),
        (("--method", "qpl"), "relay pair", ""),
        (("--method", "uadk", "--channels", 2), "relay pair", ""),
    ],
)
def test_methods_arrive(
    pair: Pair, options: tuple[object, ...], route: str, backend: str, tmp_path: Path
) -> None:
    with filled(pair) as (source, destination):
        result = tmp_path / "result.json"
        ended = migrate(source.uri, destination.uri, *options, "--json", result)
        assert ended.returncode == 0, ended.stderr
        assert_same_ram(source, destination)
    (row,) = json.loads(result.read_text())["results"]
    assert row["route"] == route
    assert backend in row["backend"]
    assert row["total_time_ms"] > 0
    assert row["send_cpu_percent"] >= 0
    assert row["recv_cpu_percent"] >= 0


@BOTH
def test_a_level_moves_where_no_relay_stands_at_the_destination(pair: Pair, tmp_path: Path) -> None:
    with filled(pair) as (source, destination):
        result = tmp_path / "result.json"
        options = ("--method", "zstd", "--level", "auto", "--max-bandwidth", "250Mbit")
        ended = migrate(source.uri, destination.uri, *options, "--json", result)
        assert ended.returncode == 0, ended.stderr
        assert_same_ram(source, destination)
    assert "--method auto could choose the method as well" in ended.stderr
    (row,) = json.loads(result.read_text())["results"]
    assert (row["route"], row["method"], row["level"]) == ("source relay", "zstd", None)
    (relay,) = row["relays"]
    assert relay["choosing"]["timeline"]
    assert set(relay["choosing"]["page_bytes"]) - {"none"}


@BOTH
def test_two_qemus_alone_carry_it_by_what_a_forecast_chose(pair: Pair, tmp_path: Path) -> None:
    """The guest's data shrink to less than half, so that a slow link leaves no doubt, also where
    other tests take the cores."""
    with filled(pair) as (source, destination):
        before = settings(source), settings(destination)
        result = tmp_path / "result.json"
        options = ("--method", "auto", "--relay", "none", "--link", "6M", "--json", result)
        ended = migrate(source.uri, destination.uri, *options)
        assert ended.returncode == 0, ended.stderr
        assert_same_ram(source, destination)
        assert (settings(source), settings(destination)) == before
    said = re.search(
        r"ramferry: zstd (\d+) chosen by forecast: about [\d.]+ s over 6.0 MB/s for an idle guest"
        r" \(none [\d.]+ s\); relays at both ends",
        ended.stderr,
    )
    assert said, ended.stderr
    (row,) = json.loads(result.read_text())["results"]
    assert (row["route"], row["method"], row["level"]) == ("QEMU built-in", "zstd", int(said[1]))
    assert row["level"] == 1 or pair.source.version >= (9, 0, 0)


def test_qatzip_arrives_on_every_version_and_settings_are_as_before(pair: Pair) -> None:
    with filled(pair) as (source, destination):
        before = settings(source), settings(destination)
        ended = migrate(source.uri, destination.uri, "--level", 1)
        assert ended.returncode == 0, ended.stderr
        assert_same_ram(source, destination)
        assert (settings(source), settings(destination)) == before
    row = ended.stdout.splitlines()[3].split()
    assert row[:2] == ["qatzip", "1"]
    assert row[10:] == ["isa-l*"]
    assert 2.0 < float(row[9]) < 4.0  # the generator's data


@pytest.mark.parametrize("pair", ["10.0"], indirect=True)
@pytest.mark.parametrize("route", ["none", "both"])
def test_a_source_that_waits_for_an_ack_gets_one(pair: Pair, route: str) -> None:
    """From a destination whose switchover-ack was off: it would wait for good."""
    ack = [
        {"capability": "return-path", "state": True},
        {"capability": "switchover-ack", "state": True},
    ]
    with filled(pair) as (source, destination):
        source.qmp.execute("migrate-set-capabilities", {"capabilities": ack})
        before = settings(source), settings(destination)
        options = ("--method", "zstd", "--relay", route, "--timeout", 30)
        ended = migrate(source.uri, destination.uri, *options)
        assert ended.returncode == 0, ended.stderr
        assert_same_ram(source, destination)
        assert (settings(source), settings(destination)) == before


@BOTH
def test_a_running_guest_goes_on_at_the_destination(pair: Pair) -> None:
    boot = boot_sector.boot_sector(MEMORY, rate=20.0)
    with (
        Qemu(pair.source, MEMORY, boot=boot, paused=False) as source,
        Qemu(pair.destination, MEMORY, boot=boot, incoming=True, paused=False) as destination,
    ):
        until("the guest's life", lambda: boot_sector.state(source.ram).written > 0, 30)
        ended = migrate(source.uri, destination.uri, "--channels", 4)
        assert ended.returncode == 0, ended.stderr
        # the status is final a moment before
        until("postmigrate", lambda: run_state(source) == "postmigrate", 10)
        assert run_state(destination) == "running"
        arrived = boot_sector.state(destination.ram).beats
        until("life there", lambda: boot_sector.state(destination.ram).beats > arrived, 10)
        destination.qmp.execute("stop")
        verdict = boot_sector.verify(destination.ram)
        assert verdict.ok, verdict


@BOTH
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_the_guest_at_the_source(pair: Pair, number: int) -> None:
    with filled(pair) as (source, destination):
        source.qmp.execute("cont")
        before = settings(source)
        with migrating(source, source.uri, destination.uri, *SLOW) as process:
            relays = relays_of(process)
            assert len(relays) == 2
            process.send_signal(number)
            _, told = process.communicate(timeout=20)
            assert process.returncode == 6, told
            assert told.endswith("ramferry: cancelled; the guest runs at the source\n")
        assert_guest_stayed(source, before, "running")
        assert not any(relay.is_running() for relay in relays)


@BOTH
def test_timeout_cancels(pair: Pair) -> None:
    with filled(pair) as (source, destination):
        before = settings(source)
        ended = migrate(source.uri, destination.uri, *SLOW, "--timeout", 1)
        assert ended.returncode == 6, ended.stderr
        assert "not finished within 1 s; the guest is at the source, prelaunch as before" in (
            ended.stderr
        )
        assert_guest_stayed(source, before)


@BOTH
@once_more_if_qemu_fails
def test_a_killed_destination(pair: Pair) -> None:
    with filled(pair) as (source, destination):
        source.qmp.execute("cont")
        before = settings(source)
        with migrating(source, source.uri, destination.uri, *SLOW) as process:
            psutil.Process(destination.pid).kill()
            _, told = process.communicate(timeout=20)
            assert process.returncode == 5, told
        sentence = told.splitlines()[-1]
        assert "the migration failed: the destination QEMU ended; the guest runs" in sentence
        assert_guest_stayed(source, before, "running", told)


@BOTH
@once_more_if_qemu_fails
def test_a_killed_relay(pair: Pair) -> None:
    with filled(pair) as (source, destination):
        source.qmp.execute("cont")
        before = settings(source)
        with migrating(source, source.uri, destination.uri, *SLOW) as process:
            (relay,) = (r for r in relays_of(process) if "qatzip" in r.cmdline())
            relay.kill()
            _, told = process.communicate(timeout=20)
            assert process.returncode == 5, told
        sentence = told.splitlines()[-1]
        assert "failed: the source relay ended: killed by signal 9; the guest runs" in sentence
        assert_guest_stayed(source, before, "running", told)


@BOTH
def test_a_killed_orchestrator_takes_its_relays_along(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # nobody is left to remove its folder
    with filled(pair) as (source, destination):
        source.qmp.execute("cont")
        with migrating(source, source.uri, destination.uri, *SLOW) as process:
            relays = relays_of(process)
            process.kill()
            until("the relays' end", lambda: not any(r.is_running() for r in relays), 10)
        until("the end at the source", lambda: status(source) == "failed", 10)
        until("the guest's life", lambda: run_state(source) == "running", 10)


@pytest.mark.parametrize("pair", ["stock"], indirect=True)
def test_a_killed_source(pair: Pair) -> None:
    with filled(pair) as (source, destination):
        with migrating(source, source.uri, destination.uri, *SLOW) as process:
            psutil.Process(source.pid).kill()
            _, told = process.communicate(timeout=20)
            assert process.returncode == 3, told
        assert "the guest does not run at the destination" in told.splitlines()[-1]


@pytest.mark.parametrize("pair", ["stock"], indirect=True)
def test_a_method_that_no_relay_may_bring(pair: Pair) -> None:
    with filled(pair) as (source, destination):
        before = settings(source), settings(destination)
        ended = migrate(source.uri, destination.uri, "--relay", "none")
        assert ended.returncode == 4
        assert "was built without qatzip (it has none, zlib, zstd)" in ended.stderr
        assert (settings(source), settings(destination)) == before


@pytest.mark.parametrize("pair", ["stock"], indirect=True)
def test_addresses_in_the_wrong_order(pair: Pair) -> None:
    with filled(pair) as (source, destination):
        ended = migrate(destination.uri, source.uri)
        assert ended.returncode == 2
        assert "are the two addresses in the right order?" in ended.stderr


@pytest.mark.parametrize("pair", ["stock"], indirect=True)
def test_via_a_relay_that_runs_already(pair: Pair, tmp_path: Path) -> None:
    """The far host's relay, here for once: a destination reached over TCP counts as remote."""
    far = [sys.executable, "-m", "ramferry", "relay", "tcp:127.0.0.1:0"]
    far += [f"unix:{tmp_path}/in", "--method", "none", "--once", "--events"]
    with (
        filled(pair) as (source, destination),
        subprocess.Popen(far, stdout=subprocess.PIPE, text=True) as relay,
    ):
        try:
            assert relay.stdout is not None
            address = json.loads(relay.stdout.readline())["uri"].removeprefix("tcp:")
            options = ("--via", address, "--incoming", f"unix:{tmp_path}/in")
            ended = migrate(source.uri, destination.uri, *options)
            assert ended.returncode == 0, ended.stderr
            assert_same_ram(source, destination)
            assert relay.wait(10) == 0
        finally:
            relay.kill()


@pytest.mark.parametrize("pair", ["stock"], indirect=True)
def test_a_destination_that_is_no_qemu(pair: Pair, tmp_path: Path) -> None:
    with filled(pair) as (source, _), socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "web"))
        other.listen(1)
        ended = migrate(source.uri, f"qmp:{tmp_path / 'web'}")
        assert ended.returncode == 3
        assert "it is not a QMP server, or another client holds its only connection" in ended.stderr
        ended = migrate(source.uri, f"qmp:{tmp_path / 'nobody'}")
        assert ended.returncode == 3
        assert "no QEMU answers" in ended.stderr


def test_demo(require_peer: Callable[[str], Path]) -> None:
    require_peer("qemu-system-x86_64")
    ended = subprocess.run(
        [sys.executable, "-m", "ramferry", "demo", "--memory", "96M"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    headline, *table, note = ended.stdout.splitlines()
    assert "an idle guest of 96 MiB" in headline
    assert note == "* 1 member a packet"
    assert [line.split()[0] for line in table[3:]] == ["none", "zstd", "qatzip"]
    assert all(re.search(r" (none|zstd|isa-l\*)$", line) for line in table[3:])


def test_demo_ends_on_ctrl_c_without_a_trace(
    require_peer: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_peer("qemu-system-x86_64")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    demo = [sys.executable, "-m", "ramferry", "demo", "--memory", "96M", "--max-bandwidth", "2M"]
    with subprocess.Popen(demo, stderr=subprocess.PIPE, text=True) as process:
        try:
            me = psutil.Process(process.pid)
            until("two QEMUs and two relays", lambda: len(me.children()) == 4, 40)
            children = me.children()
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=40)
        finally:
            process.kill()
    assert process.returncode == 6
    assert told.endswith("ramferry: interrupted; nothing is left behind\n")
    assert not any(child.is_running() for child in children)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pair", ["10.0"], indirect=True)
@pytest.mark.parametrize(
    "seconds",
    [
        3,
        pytest.param(30, marks=pytest.mark.slow),
        pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(400)]),
    ],
)
def test_a_command_that_was_stopped_goes_on(pair: Pair, seconds: int) -> None:
    """Ctrl-Z and fg: nobody was silent, and what happened meanwhile is seen."""
    options = ("--method", "zstd", "--relay", "both", "--max-bandwidth", "8M")
    with (
        filled(pair) as (source, destination),
        migrating(source, source.uri, destination.uri, *options) as process,
    ):
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        until("the guest's arrival", lambda: run_state(destination) != "inmigrate", 10)
        assert_same_ram(source, destination)
