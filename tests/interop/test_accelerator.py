"""``ramferry migrate`` between real QEMUs whose relays work on a stand-in for a device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from migrating import MIB, Pair, assert_same_ram, run_state, two_qemus

from ramferry.bench.fill import fill
from standins import built

pytestmark = pytest.mark.interop

MEMORY = 96 * MIB
STOCK = pytest.mark.parametrize("pair", ["stock"], indirect=True)


@pytest.fixture
def device(tmp_path: Path) -> Mapping[str, str]:
    """The environment in which a process and its children find the stand-ins for a device.

    Any folder is as good as /dev/vfio to them.
    """
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os\nfrom ramferry.qatzip import library\n"
        "library.VFIO = os.environ.get('STANDIN_VFIO', '/')\n"
    )
    libraries = {"LD_LIBRARY_PATH": str(built()), "PYTHONPATH": str(site), "STANDIN_DEVICE": "1"}
    return {**os.environ, **libraries}


def migrate(environment: Mapping[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ramferry", "migrate", *map(str, arguments)]
    return subprocess.run(
        line, env=environment, capture_output=True, text=True, timeout=90, check=False
    )


def carried(
    pair: Pair, environment: Mapping[str, str], folder: Path, *options: object
) -> tuple[dict[str, Any], str]:
    """Migrate a filled guest by a relay pair, compare its RAM; the result, and what was said."""
    result = folder / "result.json"
    with two_qemus(pair, MEMORY) as (source, destination):
        fill(source.ram)
        ended = migrate(
            environment, source.uri, destination.uri, "--channels", 3, "--json", result, *options
        )
        assert ended.returncode == 0, ended.stderr
        assert_same_ram(source, destination)
    (row,) = json.loads(result.read_text())["results"]
    return row, ended.stderr


@STOCK
@pytest.mark.parametrize("policy", ["auto", "require"])
def test_both_relays_work_on_the_device(
    pair: Pair, device: Mapping[str, str], tmp_path: Path, policy: str
) -> None:
    row, _ = carried(pair, device, tmp_path, "--accelerator", policy)
    assert row["route"] == "relay pair"
    # the guest's pages are four or more in nearly every packet, and what is shorter is the CPU's
    for relay in row["relays"]:
        assert relay["backend"].startswith("qat")
        assert relay["completed"]
    assert row["member_size"] == 65536


@STOCK
@pytest.mark.parametrize(
    ("seen", "options", "size"),
    [
        (False, (), 524288),
        (False, ("--member-size", "64K"), 65536),
        (True, ("--accelerator", "off"), 524288),
        (True, ("--member-size", "packet"), 524288),
    ],
)
def test_without_a_device_at_both_ends_packets_are_one_member(
    pair: Pair,
    device: Mapping[str, str],
    tmp_path: Path,
    seen: bool,
    options: tuple[str, ...],
    size: int,
) -> None:
    environment = device if seen else {**device, "STANDIN_VFIO": "/nonexistent"}
    row, _ = carried(pair, environment, tmp_path, *options)
    assert (row["route"], row["backend"], row["member_size"]) == ("relay pair", "isa-l", size)
    sender, receiver = row["relays"]
    assert (sender["member_size"], receiver["member_size"]) == (size, None)


@STOCK
def test_a_device_that_is_lost_leaves_its_work_to_the_cpu(
    pair: Pair, device: Mapping[str, str], tmp_path: Path
) -> None:
    # 96 MiB are some 190 packets, and two calls each: the loss falls into the migration
    row, _ = carried(pair, {**device, "STANDIN": "lost_after=60"}, tmp_path)
    sender, receiver = row["relays"]
    for relay in (sender, receiver):
        assert relay["completed"]
        shares = dict(
            part.removesuffix(" %").rsplit(" ", 1) for part in relay["backend"].split(" / ")
        )
        # libdeflate inflates where a single member is left of a call
        assert {"qat", "isa-l"} <= set(shares) <= {"qat", "isa-l", "libdeflate"}
        assert sum(map(int, shares.values())) == 100


@STOCK
def test_a_device_that_is_required_and_silent_leaves_the_guest_untouched(
    pair: Pair, device: Mapping[str, str]
) -> None:
    with two_qemus(pair, MEMORY) as (source, destination):
        before = run_state(source)
        ended = migrate(
            {**device, "STANDIN": "init_code=-101"},
            source.uri,
            destination.uri,
            "--accelerator",
            "require",
        )
        assert ended.returncode == 4, ended.stderr
        assert "QATzip in hardware is required, but" in ended.stderr
        assert run_state(source) == before
