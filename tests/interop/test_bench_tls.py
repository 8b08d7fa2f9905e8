"""Cases with TLS of ``ramferry bench``: both routes encrypt, and take no certificate of others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from migrating import MIB, Pair

from ramferry.bench.certificates import certificates
from ramferry.bench.rig import Rig
from ramferry.bench.scenario import Case
from ramferry.control.migrate.callbacks import Hooks
from ramferry.errors import MigrationFailed, PeerUnreachable
from ramferry.report.benchmark.comparison import BUILT_IN, read
from ramferry.vocabulary import RELAY_PAIR

pytestmark = pytest.mark.interop

SCENARIO = """
title = "mini"
[guest]
memory = "64M"
fill = "generator"
[[cases]]
methods = ["none", "zstd"]
channels = [2]
routes = ["QEMU built-in", "relay pair"]
tls = [false, true]
"""


def test_all_cases_of_a_small_scenario(require_peer: Callable[[str], Path], tmp_path: Path) -> None:
    require_peer("qemu-system-x86_64-10.0")
    (tmp_path / "mini.toml").write_text(SCENARIO)
    result = tmp_path / "r.json"
    command = [sys.executable, "-m", "ramferry", "bench", "run", tmp_path / "mini.toml"]
    done = subprocess.run(
        [*command, "--qemu", "10.0", "--repeat", "1", "--json", result],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cases = read(result).cases
    assert [case.tls for case in cases] == [False, True] * 4
    assert not [run.error for case in cases for run in case.runs if run.error]
    assert {case.label: case.forecast is not None for case in cases if case.method == "zstd"} == {
        "zstd 1 (QEMU built-in)": False,
        "zstd 1 (QEMU built-in, TLS)": False,
        "zstd 1 (relay pair)": True,
        "zstd 1 (relay pair, TLS)": False,
    }
    for route in ("QEMU built-in", "relay pair"):
        assert f"none ({route}, TLS) over none ({route}), total time" in done.stdout
    assert "zstd 1 (relay pair, TLS) over zstd 1 (QEMU built-in, TLS), total time" in done.stdout


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
def test_each_route_refuses_certificates_for_another_host(pair: Pair) -> None:
    """So what goes over the link is in TLS indeed."""
    with (
        certificates("192.0.2.77") as others,
        Rig(pair.source, pair.destination, 64 * MIB, tls_creds=others) as rig,
    ):
        for route in (BUILT_IN, RELAY_PAIR):
            wish = Case("none", None, 2, route, tls=True).wish(str(others))
            # no TLS with the far relay is nobody reached
            kind = MigrationFailed if route == BUILT_IN else PeerUnreachable
            with pytest.raises(kind, match=r"(?i)certificate.*127\.0\.0\.1"):
                rig.carry(wish, Hooks(), qemu_tls=route == BUILT_IN)
            rig.revive()
