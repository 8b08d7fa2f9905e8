"""``save ssh://… FILE`` and ``restore FILE ssh://…`` with a real sshd."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from migrating import Pair, assert_same_ram
from sshing import CARRIER, TAKES_ROOT, TwoHosts, qemu

from ramferry.bench.fill import fill

pytestmark = [
    pytest.mark.interop,
    TAKES_ROOT,
]


def done(hosts: TwoHosts, *line: object) -> dict[str, Any]:
    """Run a command of the near host; its result."""
    ended = hosts.ramferry(CARRIER, *line, "--remote-command", hosts.installed, "--json", "-")
    assert ended.returncode == 0, ended.stderr
    assert hosts.left_behind() == []
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize(
    ("pair", "options"),
    [("stock", ()), ("10.0", ("--through-ssh",))],
    indirect=["pair"],
    ids=["directly", "through ssh"],
)
def test_saved_from_there_and_restored_there(
    hosts: TwoHosts, pair: Pair, options: tuple[str, ...]
) -> None:
    file = hosts.folder / "home" / str(CARRIER.uid) / "state"
    with qemu(hosts, True, CARRIER, pair.source, incoming=False) as source:
        fill(source.ram)
        saved = done(hosts, "save", f"ssh://far{source.path}", file)
        assert saved["ratio"] > 2
        assert source.state() == "postmigrate"
        with qemu(hosts, True, CARRIER, pair.destination) as destination:
            restored = done(hosts, "restore", file, f"ssh://far{destination.path}", *options)
            assert "QEMU" not in restored["backend"]
            assert_same_ram(source, destination)
            assert destination.state() in ("paused", "prelaunch")
            kept = np.array(source.ram)
        assert np.array_equal(kept, source.ram)


def test_what_takes_a_process_beside_the_qemu_is_refused(hosts: TwoHosts) -> None:
    file = hosts.folder / "home" / str(CARRIER.uid) / "state"
    with qemu(hosts, True, CARRIER, None, incoming=False) as source:
        remote = ("--remote-command", hosts.installed)
        for option in (("--stop",), ("--stop-after", "2"), ("--disk-snapshot",)):
            line = ("save", f"ssh://far{source.path}", file, *option)
            ended = hosts.ramferry(CARRIER, *line, *remote)
            assert ended.returncode in (2, 4), ended.stderr
            assert "on another host" in ended.stderr
        assert not file.exists()
        assert source.state() == "running"
