"""Links without root: why there is none, what is swept, and a probe of the loopback."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ramferry.bench import link
from ramferry.bench.namespace_probe import probe
from ramferry.control.hosts.host import BOTH_HERE
from ramferry.errors import HostError


def test_a_missing_command_or_right_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_path", lambda command: None if command == "tc" else command)
    assert link.why_not() == "tc (iproute2) is not here"
    monkeypatch.setattr(link, "_path", lambda command: command)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert link.why_not() == "network namespaces and tc take root"
    with pytest.raises(HostError, match="the link cannot be shaped: network namespaces"):
        link.ShapedLink(1e6).__enter__()


def test_what_a_killed_run_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = [f"ramferry-bench-{dead.pid}-source", "ramferry-bench-1-source", "someone-else"]
    for name in names:
        (tmp_path / name).touch()
    run: list[str] = []
    monkeypatch.setattr(link, "NAMESPACES", tmp_path)
    monkeypatch.setattr(link, "_run", lambda *command: run.append(" ".join(command)))
    assert link.sweep() == names[:1]
    assert run == [f"ip netns delete {names[0]}"]


def test_a_link_that_cannot_be_made_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[str] = []

    def fail_at_tc(*command: str) -> None:
        run.append(" ".join(command[:3]))
        if command[:3] == ("ip", "netns", "add"):
            (tmp_path / command[3]).touch()
        if command[0] == "tc":
            raise HostError("the link cannot be shaped: no tbf")

    monkeypatch.setattr(link, "NAMESPACES", tmp_path)
    monkeypatch.setattr(link, "why_not", lambda: "")
    monkeypatch.setattr(link, "_run", fail_at_tc)
    with pytest.raises(HostError, match="no tbf"):
        link.ShapedLink(1e6).__enter__()
    assert run.count("ip netns delete") == 2


def test_a_failing_command_is_quoted() -> None:
    with pytest.raises(HostError, match=r"`ls /nonexistent …` says .*ls: cannot access"):
        link._run("ls", "/nonexistent")


def test_probe_of_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ramferry.transport.throughput.SETTLE_SECONDS", 0.02)
    monkeypatch.setattr("ramferry.transport.throughput.COUNTED_SECONDS", 0.05)
    assert probe(BOTH_HERE) > 10e6
