"""A cap that several migrations share."""

from __future__ import annotations

import threading
import time

import pytest

from ramferry.transport.pacing import Pacer
from ramferry.transport.sharing import Lane, SharedWire

RATE = 40e6
PACKET = 64 * 1024
TRIES = range(10)


class Sender:
    """Takes the wire again and again, by as many threads as a migration has channels."""

    def __init__(
        self,
        lane: Lane,
        threads: int,
        log: list[tuple[float, int]],
        go: threading.Event | None = None,
    ) -> None:
        """:param go: what they wait for before they begin; None: nothing."""
        self.lane, self._log, self._go = lane, log, go
        self.sent = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        if self._go is not None:
            self._go.wait()
        while not self._over.is_set():
            self.lane.wait(PACKET)
            if not self.lane.ended:
                with self._lock:
                    self.sent += PACKET
                    self._log.append((time.monotonic(), PACKET))

    def end(self) -> None:
        self._over.set()
        self.lane.end()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()


def shared(threads: list[int], seconds: float) -> tuple[list[int], list[tuple[float, int]]]:
    wire, log, go = SharedWire(RATE), [], threading.Event()  # type: ignore[var-annotated]
    senders = [Sender(wire.lane(), count, log, go) for count in threads]
    go.set()
    threading.Event().wait(seconds)
    sent = [one.sent for one in senders]
    for one in senders:
        one.end()
    return sent, log


def test_each_gets_an_equal_part_however_many_channels_it_has() -> None:
    # of three that stand still in turn on a busy machine, one has less: hence several tries
    assert any(max(sent) < 1.25 * min(sent) for sent in (shared([1, 8, 2], 1.0)[0] for _ in TRIES))


def test_the_sum_never_passes_the_cap() -> None:
    # who wakes up late sends less, so that a busy machine needs several tries
    assert any(below_the_cap() > 0.1 for _ in TRIES)


def below_the_cap() -> float:
    """How much of the cap two of four channels each used; they never passed it."""
    _, log = shared([4, 4], 1.0)
    begun, total = log[0][0], 0
    for at, size in log:
        # a grant is for bytes that begin then: one packet, and the burst, may be ahead
        assert total <= RATE * (at - begun + Pacer.BURST) + 2 * PACKET
        total += size
    return total / (RATE * (log[-1][0] - begun))


def test_what_one_does_not_use_the_other_gets() -> None:
    # who wakes up late loses what it could have sent, so that a busy machine needs several tries
    assert any(sent_beside_an_idle_one() > 0.6 * RATE * 0.5 for _ in TRIES)


def sent_beside_an_idle_one() -> int:
    """Bytes of half a second."""
    wire, log = SharedWire(RATE), []  # type: ignore[var-annotated]
    idle, busy = wire.lane(), Sender(wire.lane(), 2, log)
    threading.Event().wait(0.5)
    alone = busy.sent
    busy.end()
    # who was idle does not catch up
    assert idle.charge(PACKET) >= 0
    assert idle.clock <= busy.sent + 4 * PACKET
    return alone


def test_mains_bytes_go_at_once_and_the_others_make_room() -> None:
    wire = SharedWire(1e5)
    lane, other = wire.lane(), wire.lane()
    lane.wait(100_000)
    begun = time.monotonic()
    assert lane.charge(50_000) == pytest.approx(1.0, abs=0.5)
    assert time.monotonic() - begun < 0.5
    other.wait(10)
    assert time.monotonic() - begun > 1.0


def test_an_ended_lane_waits_for_nothing_and_holds_up_nobody() -> None:
    wire = SharedWire(1e5)
    ending, other = wire.lane(), wire.lane()
    ending.wait(50_000)
    threads = [threading.Thread(target=ending.wait, args=(10_000_000,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    ending.end()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    begun = time.monotonic()
    other.wait(1)
    assert time.monotonic() - begun < 30  # not the 300 s of what ended
    ending.wait(1 << 40)
