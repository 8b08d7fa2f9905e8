"""What changes in mid-migration begins and ends at its moments, and is undone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_course import SAMPLE

from ramferry.bench import link as links
from ramferry.bench.change import Change
from ramferry.bench.changing import Burning, Changing
from ramferry.bench.link import ShapedLink
from ramferry.control.migrate.callbacks import Hooks
from ramferry.errors import HostError
from ramferry.forecast.eta import MigrationSample

LOW = Change(2.0, 5.0, rate=25e6)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The rates that tc is told, at each end of the link."""
    rates: list[str] = []
    monkeypatch.setattr(links, "_run", lambda *command: rates.append(f"{command[4]} {command[10]}"))
    return rates


def test_a_link_falls_and_rises_once(told: list[str]) -> None:
    seen: list[MigrationSample] = []
    with Changing(LOW, ShapedLink(125e6)) as changing:
        hooks = changing.watching(Hooks(on_sample=seen.append))
        counts = []
        for seconds in (0.5, 1.9, 2.0, 3.0, 5.1, 6.0):
            hooks.on_sample(replace(SAMPLE, seconds=seconds))
            counts.append(len(told))
    changing.check()
    assert counts == [0, 0, 2, 2, 4, 4]
    assert told == ["change 200000000bit"] * 2 + ["change 1000000000bit"] * 2
    assert len(seen) == 6


def test_a_change_under_way_is_undone_at_the_end(told: list[str]) -> None:
    with Changing(replace(LOW, end=None), ShapedLink(125e6)) as changing:
        changing.heed(9.0)
    changing.check()
    assert told[2:] == ["change 1000000000bit"] * 2


def test_a_migration_that_was_over_before_shows_nothing(told: list[str]) -> None:
    with Changing(LOW, ShapedLink(125e6)) as changing:
        changing.heed(1.0)
    with pytest.raises(HostError, match="over before the change at 2 s: give it more --memory"):
        changing.check()
    assert told == []


def test_what_tc_refuses_fails_the_run_and_not_its_callback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: str) -> None:
        raise HostError("the link cannot be shaped: no tbf")

    monkeypatch.setattr(links, "_run", refuse)
    with Changing(LOW, ShapedLink(125e6)) as changing:
        changing.heed(3.0)
    with pytest.raises(HostError, match="no tbf"):
        changing.check()


def test_a_link_that_nothing_shapes_cannot_change() -> None:
    with pytest.raises(HostError, match="only where tc shapes it"):
        Changing(LOW, None)


def test_without_a_change_nothing_is_watched() -> None:
    hooks = Hooks()
    with Changing(None, None) as changing:
        assert changing.watching(hooks) is hooks
    changing.check()


def test_load_takes_cores_and_ends() -> None:
    burning = Burning(2)
    burning.begin()
    processes = list(burning.processes)
    assert [one.poll() for one in processes] == [None, None]
    burning.end()
    burning.end()
    assert not any(Path(f"/proc/{one.pid}").exists() for one in processes)
    with Changing(Change(0.0, None, cores=1), None) as changing:
        changing.heed(0.1)
    changing.check()
