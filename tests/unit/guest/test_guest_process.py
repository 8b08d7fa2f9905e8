"""Built-in guests as processes, moved by the orchestrator that moves QEMUs."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest

from certificates import authority, complete
from ramferry.bench.builtin import BuiltIn, BuiltInRig
from ramferry.codec import METHODS
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.course import migrate
from ramferry.control.migrate.route import RelayMode, Wish
from ramferry.errors import Cancelled, MigrationFailed, UsageError

MEMORY = 16 << 20
BUSY = ["--workload", "random", "--rate", "20M", "--changed", "512"]
DEADLINE = 30.0


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("tracker", "methods", "incoming"),
    [
        ("uffd-wp", METHODS, None),
        ("digest", ["none", "qatzip"], None),
        ("uffd-wp", METHODS, "relay:127.0.0.1:0"),
    ],
)
def test_a_busy_guest_moves_from_one_to_the_next(
    tracker: str, methods: Collection[str], incoming: str | None
) -> None:
    """The counter goes on, and no page is lost on the whole way, whatever finds and packs it.

    At relay: every digest fits, though the guest writes to its pages while they are sent.
    """
    waiting = ["--incoming", "defer", "--tracker", tracker]
    here = BuiltIn(MEMORY, [*BUSY, "--tracker", tracker]).__enter__()
    try:
        counter = 0
        for number, method in enumerate(methods):
            there = BuiltIn(MEMORY, waiting).__enter__()
            try:
                until(lambda: here.state()["counter"] > counter)  # noqa: B023
                wish = Wish(method=method, channels=(1, 4, 16)[number % 3], incoming=incoming)
                result = migrate(here.uri, there.uri, wish, Hooks(), DEADLINE)
                assert result.route == "QEMU built-in"
                assert result.wire_bytes > 0
                assert result.send_cpu_percent is not None
                left = here.state()
                assert left["tracker"].startswith(f"{tracker}: ")
                assert here.bad_pages() == 0
                counter = left["counter"]
                until(lambda: there.state()["counter"] > counter)  # noqa: B023
                there.qmp.execute("stop")
                assert there.bad_pages() == 0
                there.qmp.execute("cont")
            finally:
                here.__exit__(None, None, None)
                here = there
    finally:
        here.__exit__(None, None, None)


def test_relays_carry_it_too() -> None:
    with BuiltInRig(MEMORY, options=BUSY) as rig:
        result = rig.carry(Wish(method="qatzip", channels=2, relay=RelayMode.BOTH), Hooks())
        assert result.route == "relay pair"
        assert "isa-l" in result.backend


def test_four_steps_by_hand() -> None:
    with BuiltIn(MEMORY) as here, BuiltIn(MEMORY, ["--incoming", "defer"]) as there:

        def say(guest: BuiltIn, line: str) -> None:
            answer = guest.qmp.execute("human-monitor-command", {"command-line": line})
            assert "Error" not in answer

        for guest in (here, there):
            say(guest, "migrate_set_parameter multifd-compression qatzip")
            say(guest, "migrate_set_parameter multifd-qatzip-level 1")
        say(there, f"migrate_incoming unix:{there.folder}/in")
        say(here, f"migrate unix:{there.folder}/in")
        until(lambda: here.qmp.execute("query-migrate")["status"] == "completed")
        until(lambda: there.qmp.execute("query-status")["running"])
        answer = here.qmp.execute("human-monitor-command", {"command-line": "info migrate"})
        assert answer.startswith("Migration status: completed\r\ntotal time: ")
        assert np.array_equal(here.ram, there.ram)
        assert here.ram.any()


@pytest.mark.parametrize("scheme", ["relay", "tls"])
def test_encrypted_by_hand(tmp_path: Path, scheme: str) -> None:
    options = ["--tls-creds", str(complete(tmp_path / "pki", authority()))]
    allowed = ["--tls-authz", "CN=client,O=Example"]
    with (
        BuiltIn(MEMORY, [*BUSY, *options]) as here,
        BuiltIn(MEMORY, ["--incoming", "defer", *options, *allowed]) as there,
    ):
        there.qmp.execute("migrate-incoming", {"uri": f"{scheme}:127.0.0.1:0"})
        (bound,) = there.qmp.execute("query-migrate")["socket-address"]
        here.qmp.execute("migrate", {"uri": f"{scheme}:127.0.0.1:{bound['port']}"})
        until(lambda: here.qmp.execute("query-migrate")["status"] in ("completed", "failed"))
        assert here.qmp.execute("query-migrate")["status"] == "completed", there.stderr()
        counter = here.state()["counter"]
        until(lambda: there.state()["counter"] > counter)
        there.qmp.execute("stop")
        assert there.bad_pages() == 0


def test_a_guest_whose_subject_is_not_allowed_stays_here(tmp_path: Path) -> None:
    options = ["--tls-creds", str(complete(tmp_path / "pki", authority()))]
    allowed = ["--tls-authz", "CN=else"]
    with (
        BuiltIn(MEMORY, options) as here,
        BuiltIn(MEMORY, ["--incoming", "defer", *options, *allowed]) as there,
    ):
        there.qmp.execute("migrate-incoming", {"uri": "relay:127.0.0.1:0"})
        (bound,) = there.qmp.execute("query-migrate")["socket-address"]
        here.qmp.execute("migrate", {"uri": f"relay:127.0.0.1:{bound['port']}"})
        until(lambda: here.qmp.execute("query-migrate")["status"] == "failed")
        until(lambda: "--tls-authz does not allow CN=client,O=Example" in there.stderr())
        assert here.qmp.execute("query-status")["running"]
        assert there.qmp.execute("query-status")["status"] == "inmigrate"


def test_cancelled_by_the_orchestrator() -> None:
    with (
        BuiltIn(MEMORY, [*BUSY, "--rate", "200M"]) as here,
        BuiltIn(MEMORY, ["--incoming", "defer"]) as there,
    ):
        hooks = Hooks()
        wish = Wish(method="none", channels=2, max_bandwidth=5_000_000)
        with pytest.raises(
            Cancelled, match="not finished within 1 s; the guest runs at the source"
        ):
            migrate(here.uri, there.uri, wish, hooks, timeout=1.0)
        counter = here.state()["counter"]
        until(lambda: here.state()["counter"] > counter)
        assert there.process.wait(DEADLINE) == 5
        assert "the guest did not arrive" in there.stderr()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_destination_that_dies_leaves_the_guest_here(number: signal.Signals) -> None:
    with (
        BuiltIn(MEMORY, [*BUSY, "--rate", "200M"]) as here,
        BuiltIn(MEMORY, ["--incoming", "defer"]) as there,
    ):

        def strike(sample: object) -> None:
            del sample
            if there.alive:
                os.kill(there.process.pid, number)

        wish = Wish(method="none", channels=2, max_bandwidth=5_000_000)
        with pytest.raises(MigrationFailed, match="the guest runs at the source"):
            migrate(here.uri, there.uri, wish, Hooks(on_sample=strike), DEADLINE)
        counter = here.state()["counter"]
        until(lambda: here.state()["counter"] > counter)


def test_other_memory_is_refused() -> None:
    with BuiltIn(MEMORY) as here, BuiltIn(2 * MEMORY, ["--incoming", "defer"]) as there:
        with pytest.raises(UsageError, match=r"16 MiB .* 32 MiB: start it with --memory 16M"):
            migrate(here.uri, there.uri, Wish(method="none"), Hooks(), DEADLINE)
        address = {"uri": f"unix:{there.folder}/in"}
        there.qmp.execute("migrate-incoming", address)
        here.qmp.execute("migrate", address)
        assert there.process.wait(DEADLINE) == 5
        assert "RAM block 'ramferry.ram' has 16777216 bytes at the source and" in there.stderr()
        assert here.qmp.execute("query-status")["status"] == "running"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "nobody could reach this guest"),
        (["--qmp", "/tmp/x"], "is no QMP address"),
        (["--qmp", "qmp:/tmp/x", "--workload", "random", "--changed", "17"], "in steps of 8"),
        (["--incoming", "foo:1"], "unknown migration protocol: foo:1"),
        (["--qmp", "qmp:/nowhere/x"], "/nowhere/x"),
        (["--qmp", "qmp:/tmp/x", "--fill", "/nowhere/x"], "--fill names /nowhere/x"),
        (["--qmp", "qmp:/tmp/x", "--fill", ":"], "--fill names no file"),
        (["--qmp", "qmp:/tmp/x", "--memory", "65536G"], "and the guest's RAM takes 67108864 MiB"),
        (["--incoming", "unix:/nowhere/x"], "cannot listen on unix:/nowhere/x"),
    ],
)
def test_a_command_line_that_makes_no_sense(options: list[str], sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ramferry", "guest", "--memory", "16M", *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode in (2, 8)
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_memory_that_is_limited_is_a_sentence() -> None:
    """Some of numpy's memory was not there: no traceback, and the host's exit code."""
    limit = 600 << 20

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-m", "ramferry", "guest", "--memory", "480M", "--qmp", "qmp:/nowhere/x"],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        preexec_fn=limited,
    )
    assert done.returncode == 8, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "memory" in done.stderr


def test_a_guest_ends_by_signal_without_a_trace(tmp_path: Path) -> None:
    with BuiltIn(MEMORY) as guest:
        guest.process.send_signal(signal.SIGTERM)
        assert guest.process.wait(DEADLINE) == 0
        assert not (guest.folder / "qmp").exists()
        assert len(guest.stderr().splitlines()) == 1
    assert tmp_path.exists()


def test_a_signal_is_heeded_from_the_moment_that_the_monitor_is_there(tmp_path: Path) -> None:
    """Three times in four one came too early, and the guest ended with 130 or by the signal."""
    for nth in range(3):
        place = tmp_path / str(nth)
        command = [sys.executable, "-m", "ramferry", "guest", "--memory", "1M"]
        with subprocess.Popen(
            [*command, "--qmp", f"qmp:{place}"], stderr=subprocess.DEVNULL
        ) as guest:
            deadline = time.monotonic() + DEADLINE
            while not place.exists():
                assert guest.poll() is None
                assert time.monotonic() < deadline
            guest.send_signal(signal.SIGTERM)
            assert guest.wait(DEADLINE) == 0


def test_a_migration_is_forecast_from_its_own_pages(tmp_path: Path) -> None:
    """By the way that asks QEMUs: pmemsave, info mtree, calc-dirty-rate."""
    with BuiltIn(MEMORY, BUSY) as guest:
        command = [sys.executable, "-m", "ramferry", "plan", "time", guest.uri, "--link", "1Gbit"]
        command += ["--measure-dirty", "1", "--scratch", str(tmp_path), "--json", "-"]
        # 6 s of CPU: this host is measured, and every method is tried
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=3 * DEADLINE, check=False
        )
        assert done.returncode == 0, done.stderr
        plan = json.loads(done.stdout)
        assert plan["sample"]["total_bytes"] == MEMORY
        assert plan["sample"]["sampled_bytes"] == MEMORY
        assert [one["method"] for one in plan["methods"]] == list(METHODS)
        assert plan["dirty_rate"] > 0
        assert guest.qmp.execute("query-status")["running"]
    assert not list(tmp_path.iterdir())
