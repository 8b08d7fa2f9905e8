"""``doctor ssh://…`` and ``plan time --link ssh://…`` with a real sshd."""

from __future__ import annotations

import json

import pytest
from sshing import CARRIER, FAR, NEAR, TAKES_ROOT, TwoHosts, qemu

pytestmark = [
    pytest.mark.interop,
    TAKES_ROOT,
]


def test_doctor_there_is_shown_here(hosts: TwoHosts) -> None:
    line = ("doctor", "ssh://far", "--remote-command", hosts.installed)
    ended = hosts.ramferry(CARRIER, *line, "--json", "-")
    assert ended.returncode in (0, 10, 11), ended.stderr
    document = json.loads(ended.stdout)
    assert (document["format"], document["user"]) == ("doctor", "daemon")
    assert "permissions of daemon" in ended.stderr
    ended = hosts.ramferry(CARRIER, *line, "--user", "nobody-of-that-name")
    assert ended.returncode == 8
    assert "the doctor on ssh://far did not come to an end" in ended.stderr
    assert hosts.left_behind() == []


def test_the_link_is_probed_by_ssh(hosts: TwoHosts) -> None:
    with qemu(hosts, False, CARRIER, None) as guest:
        line = ("plan", "time", f"qmp:{guest.path}", "--link", "ssh://far", "--methods", "zstd")
        remote = ("--remote-command", hosts.installed)
        ended = hosts.ramferry(CARRIER, *line, *remote, "--json", "-")
        assert ended.returncode == 0, ended.stderr
        plan = json.loads(ended.stdout)
        assert plan["link_from"] == "probed"
        assert any(f"from {NEAR} to {FAR}" in note for note in plan["notes"])
        hosts.drop()
        ended = hosts.ramferry(CARRIER, *line, *remote)
        assert ended.returncode == 3
        assert "data cannot get to ssh://far directly" in ended.stderr
        assert hosts.left_behind() == []
