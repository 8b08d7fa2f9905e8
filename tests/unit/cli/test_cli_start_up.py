"""What a command loads: ``--help`` what its options need, a running relay what it carries with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fakes_destination import FakeDestination
from fakes_relay import Stage, until
from fakes_source import SETTLE, FakeSource, dial
from fakes_wire import Guest, Script
from ramferry.cli import COMMANDS, bench, plan
from ramferry.vocabulary import METHOD_FLAGS
from relay_process import START

LOADED = """
import atexit, json, sys
out = sys.argv.pop(1)
def tell():
    with open(out, "w") as file:
        json.dump(sorted(sys.modules), file)
atexit.register(tell)
from ramferry.__main__ import main
main()
"""

THREADS = """
import atexit, os, sys
out = sys.argv.pop(1)
def tell():
    import numpy
    with open(out, "w") as file:
        file.write(str(len(os.listdir("/proc/self/task"))))
atexit.register(tell)
from ramferry.__main__ import main
main()
"""

GROUPS = {"bench": bench.PARTS, "plan": plan.PARTS}
COMMAND_LINES = [[name] for name in COMMANDS] + [
    [group, part] for group, parts in GROUPS.items() for part in parts
]

OPTIONS_NEED = {
    "__main__",
    "cli",
    "errors",
    "interruption",
    "standard",
    "transport.address",
    "units",
    "vocabulary",
}
"""Parts of Ramferry that tell which values an option takes."""
ONE_NEEDS = {
    "migrate": {"control.migrate.on_stall", "control.migrate.relay_mode"},
    "bench run": {"bench.shapes"},
    "bench links": {"bench.shapes"},
    "plan memory": {"hardware.families"},
}

RELAY_NEEDS = {
    *("__main__", "cli", "codec", "flows", "metrics", "native", "qatzip", "transport", "wire"),
    *("allowance", "errors", "interruption", "occupancy", "patience", "standard"),
    *("typed", "units", "vocabulary"),
    *("hardware.firmware", "hardware.inside", "hardware.root"),
}
RELAY_LIBRARIES = {
    *("click", "deflate", "isal", "numpy", "zlib_ng", "zstandard"),
    *("msgspec", "typing_extensions", "xxhash"),  # for the protocol between two relays
}

PYTHONS_OWN = sys.stdlib_module_names | {"__main__", "_distutils_hack", "sitecustomize"}


def loaded_by(out: Path, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", LOADED, str(out), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return set(json.loads(out.read_text()))


def of_ramferry(modules: set[str]) -> set[str]:
    """Names below ``ramferry``, without packages that are there for what is in them."""
    own = {name.removeprefix("ramferry.") for name in modules if name.startswith("ramferry.")}
    return {name for name in own if not any(other.startswith(f"{name}.") for other in own)}


def libraries(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules} - PYTHONS_OWN - {"ramferry"}


def beyond(modules: set[str], wanted: set[str]) -> set[str]:
    """Modules that neither stand in ``wanted`` nor lie below what does."""
    return {
        name
        for name in of_ramferry(modules)
        if not any(name == one or name.startswith(f"{one}.") for one in wanted)
    }


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_help_loads_what_its_options_need(words: list[str], tmp_path: Path) -> None:
    modules = loaded_by(tmp_path / "modules", *words, "--help")
    assert libraries(modules) == {"click"}
    assert not beyond(modules, OPTIONS_NEED | ONE_NEEDS.get(" ".join(words), set()))
    assert not any(name.startswith("ramferry.cli.runs") for name in modules)


@pytest.mark.parametrize("method", METHOD_FLAGS)
def test_a_relay_that_carried_a_migration_loaded_what_it_carries_with(
    method: str, tmp_path: Path
) -> None:
    """No report, no doctor, no control, and no library that draws or talks to a QEMU."""
    stage = Stage(tmp_path, method=method)
    out = tmp_path / "modules"
    addresses = (str(stage.settings.listen), str(stage.settings.connect))
    options = ("--method", method, "--once", "--events", "--json", str(tmp_path / "results"))
    relay = subprocess.Popen(
        [sys.executable, "-c", LOADED, str(out), "relay", *addresses, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        carry(stage, relay)
        _, said = relay.communicate(timeout=SETTLE)
    finally:
        relay.kill()
        relay.communicate()
    assert (relay.returncode, "carried" in said) == (0, True), said
    modules = set(json.loads(out.read_text()))
    assert libraries(modules) == RELAY_LIBRARIES
    assert not beyond(modules, RELAY_NEEDS)


def carry(stage: Stage, relay: subprocess.Popen[str]) -> None:
    script = Script(Guest())
    until(lambda: listens(stage) or relay.poll() is not None, START)
    destination: FakeDestination
    with stage.destination(script.guest) as destination:
        source = FakeSource(stage.settings.listen, script)
        try:
            relay.wait(SETTLE)
            assert source.status == "completed"
        finally:
            source.close()
        assert destination.memory == script.memory


def listens(stage: Stage) -> bool:
    try:
        dial(stage.settings.listen).close()
    except OSError:
        return False
    return True


def test_numpy_starts_no_threads(tmp_path: Path) -> None:
    """Its linear algebra would start one for each core but the first."""
    out = tmp_path / "threads"
    environ = {name: value for name, value in os.environ.items() if "_NUM_THREADS" not in name}
    command = [sys.executable, "-c", THREADS, str(out), "--version"]
    subprocess.run(command, env=environ, capture_output=True, check=True)
    assert out.read_text() == "1"
