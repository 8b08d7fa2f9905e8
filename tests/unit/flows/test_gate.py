"""The gate: a mark passes after every channel's SYNC, and what follows a SYNC after its mark."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from patiently import SETTLE, until
from ramferry.flows.session import gate as gate_module
from ramferry.flows.session.gate import SyncGate, Unwind


class Aside(threading.Thread):
    """Calls a function aside; ``passed`` once it has returned, ``unwound`` where it unwound."""

    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__()
        self._function = function
        self.passed = False
        self.unwound = False
        self.start()

    def run(self) -> None:
        try:
            self._function()
            self.passed = True
        except Unwind:
            self.unwound = True

    def ended(self) -> Aside:
        self.join(SETTLE)
        assert not self.is_alive(), "still waiting"
        return self


def waits(gate: SyncGate, phrase: str) -> None:
    until(lambda: gate.waiting == phrase, what=phrase)


def test_a_mark_waits_for_the_sync_of_every_channel() -> None:
    gate = SyncGate()
    gate.expect([0, 1, 2])
    main = Aside(lambda: gate.hold(0))
    waits(gate, "sync mark 0 waits for the SYNC of multifd 0, multifd 1, multifd 2")
    gate.arrive(1)
    waits(gate, "sync mark 0 waits for the SYNC of multifd 0, multifd 2")
    gate.arrive(1)
    gate.arrive(0)
    waits(gate, "sync mark 0 waits for the SYNC of multifd 2")
    assert not main.passed
    gate.arrive(2)
    assert main.ended().passed
    assert gate.passed == 0
    gate.release(0)
    assert gate.passed == 1
    assert gate.waiting == ""


def test_a_mark_is_met_by_the_sync_of_its_own_round() -> None:
    gate = SyncGate()
    gate.expect([0])
    gate.arrive(0)
    gate.hold(0)
    gate.release(0)
    main = Aside(lambda: gate.hold(1))
    waits(gate, "sync mark 1 waits for the SYNC of multifd 0")
    gate.arrive(0)
    assert main.ended().passed


def test_what_follows_a_sync_waits_for_its_mark() -> None:
    gate = SyncGate()
    gate.follow(0)
    channels = [Aside(lambda: gate.follow(1)) for _ in range(2)]
    waits(gate, "2 channels wait for sync mark 0 on main")
    gate.release(0)
    assert all(one.ended().passed for one in channels)
    later = Aside(lambda: gate.follow(2))
    waits(gate, "1 channels wait for sync mark 1 on main")
    gate.release(1)
    assert later.ended().passed


def test_an_open_gate_holds_nobody() -> None:
    gate = SyncGate()
    gate.expect([0])
    assert gate.gated
    main, channel = Aside(lambda: gate.hold(4)), Aside(lambda: gate.follow(9))
    gate.open()
    assert main.ended().passed
    assert channel.ended().passed
    assert not gate.gated
    gate.hold(5)
    gate.follow(10)


def test_the_end_unwinds_everybody_present_and_future() -> None:
    gate = SyncGate()
    gate.expect([0])
    main, channel = Aside(lambda: gate.hold(0)), Aside(lambda: gate.follow(1))
    gate.end()
    assert main.ended().unwound
    assert channel.ended().unwound
    with pytest.raises(Unwind):
        gate.hold(1)
    with pytest.raises(Unwind):
        gate.follow(1)


def test_a_held_mark_does_not_pass_when_the_migration_ends_with_its_last_sync() -> None:
    gate = SyncGate()
    gate.expect([0])
    gate.end()
    gate.arrive(0)
    with pytest.raises(Unwind):
        gate.hold(0)


def test_many_rounds_of_many_channels_meet_in_order() -> None:
    """No channel is ever more than one SYNC ahead of the marks, and no mark ahead of a SYNC."""
    gate = SyncGate()
    rounds, ids = 50, range(8)
    gate.expect(ids)
    sent = [0] * len(ids)
    wrong: list[str] = []

    def channel(id: int) -> None:
        for count in range(1, rounds + 1):
            sent[id] = count
            gate.arrive(id)
            gate.follow(count)
            if gate.passed < count:
                wrong.append(f"channel {id} passed mark {count - 1} at {gate.passed}")

    def main() -> None:
        for index in range(rounds):
            gate.hold(index)
            if min(sent) <= index:
                wrong.append(f"mark {index} before its SYNCs: {sent}")
            gate.release(index)

    threads = [Aside(lambda id=id: channel(id)) for id in ids] + [Aside(main)]  # type: ignore[misc]
    for thread in threads:
        assert thread.ended().passed
    assert wrong == []


class Woken(threading.Condition):
    """A condition that counts how often a thread woke."""

    times = 0

    def wait(self, timeout: float | None = None) -> bool:
        result = super().wait(timeout)
        Woken.times += 1  # with the lock
        return result


def test_nobody_is_woken_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Main by the last SYNC, each channel by the mark: of all other calls nobody hears."""
    counted = SimpleNamespace(Lock=threading.Lock, Condition=Woken)
    monkeypatch.setattr(gate_module, "threading", counted)
    monkeypatch.setattr(Woken, "times", 0)
    gate = SyncGate()
    ids = range(16)
    gate.expect(ids)

    def channel(id: int) -> None:
        gate.arrive(id)
        gate.follow(1)

    main = Aside(lambda: gate.hold(0))
    waits(gate, "sync mark 0 waits for the SYNC of " + ", ".join(f"multifd {id}" for id in ids))
    early = [Aside(lambda id=id: channel(id)) for id in ids[:-1]]  # type: ignore[misc]
    waits(gate, "sync mark 0 waits for the SYNC of multifd 15")
    assert Woken.times == 0
    last = Aside(lambda: channel(15))
    assert main.ended().passed
    waits(gate, "16 channels wait for sync mark 0 on main")
    assert Woken.times == 1
    gate.release(0)
    assert all(one.ended().passed for one in [*early, last])
    assert Woken.times == 17


def test_what_marks_cost_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10.0
    monkeypatch.setattr(gate_module, "time", SimpleNamespace(monotonic=lambda: now))
    gate = SyncGate()
    gate.expect([])
    gate.hold(0)
    now = 11.5
    gate.release(0)
    assert (gate.held_seconds, gate.followed_seconds) == (1.5, 0.0)
    gate.follow(1)  # its mark has passed
    followers = [Aside(lambda: gate.follow(2)) for _ in range(2)]
    waits(gate, "2 channels wait for sync mark 1 on main")
    gate.hold(1)
    now = 11.75
    gate.release(1)
    for one in followers:
        one.ended()
    assert (gate.held_seconds, gate.followed_seconds) == (1.75, 0.5)
