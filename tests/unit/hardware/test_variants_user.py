"""The same host for different users: who may open what, and lock how much."""

from __future__ import annotations

from pathlib import Path

from diagnosing import not_ok, report_of
from fakes_sysroot import LIMITS, TREES
from ramferry.hardware.identity import Identity, named
from ramferry.hardware.root import Root


def test_root_is_told_which_nodes_only_root_may_open(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    root.at("/dev/vfio/419").chmod(0o600)
    [finding] = not_ok(report_of(root, Identity("root", 0, frozenset({0}), False)))
    assert finding.sentence == "only root may open 1 of 16 VFs"
    assert finding.commands == (
        "sudo chgrp qat /dev/vfio/419",
        "sudo chmod 660 /dev/vfio/419",
        "sudo systemctl restart qat",
    )


def test_a_user_outside_group_qat_is_told_to_join_it(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    found = Root(str(root.path))
    [finding] = not_ok(report_of(root, named(found, "mallory")))
    assert finding.check == "qat-vf-node"
    assert finding.commands == ("sudo usermod -aG qat mallory   # then log in again",)


def test_a_process_that_may_lock_all_is_not_bound_by_its_limit(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    root.file("/proc/self/limits", LIMITS.format(8 << 20))
    root.file("/proc/self/status", "Name:\tpython\nCapEff:\t000001ffffffffff\n")
    own = Identity("alice", 4321, named(Root(str(root.path)), "alice").gids, True)
    assert not_ok(report_of(root, own)) == []
    [finding] = not_ok(report_of(root))
    assert finding.check == "qat-memlock", "another user's capabilities are not ours"


def test_a_limit_that_is_met_to_the_byte_is_enough(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    root.file("/proc/self/limits", LIMITS.format(38 << 20))
    assert not_ok(report_of(root)) == []
    for limit, verdict in (((38 << 20) - 1, "warning"), ((20 << 20) - 1, "problem")):
        root.file("/proc/self/limits", LIMITS.format(limit))
        [finding] = not_ok(report_of(root))
        assert (finding.check, str(finding.verdict)) == ("qat-memlock", verdict)
