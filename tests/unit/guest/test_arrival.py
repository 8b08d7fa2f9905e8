"""An arrival whose threads meet: its status never goes back, and only one receiver listens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ramferry.errors import RamferryError
from ramferry.guest import arrival as module
from ramferry.guest.arrival import Arrival
from ramferry.guest.errors import MonitorError
from ramferry.guest.settings import GuestSettings
from ramferry.guest.state import GuestState
from ramferry.guest.workload import Workload
from ramferry.ram.blocks import Ram
from ramferry.transport.address import UnixAddress
from ramferry.vocabulary import Status

MEETING = 0.05
"""Seconds that a thread has to get in between."""


class FakeGuest:
    def __init__(self, ram: Ram) -> None:
        self.ram = ram
        self.ended = threading.Event()
        self.told: list[str] = []

    def load(self, state: GuestState) -> None: ...
    def note(self, text: str) -> None: ...

    def arrived(self, error: str) -> None:
        self.told.append(error or "arrived")

    def arriving(self, status: Status) -> None:
        self.told.append(status)


class FakeReceiver:
    """Listens at once, and ends when told."""

    made: list[FakeReceiver]
    error: RamferryError | None = None

    def __init__(self, settings: object, sink: Any, observer: Any) -> None:
        del settings
        self.sink = sink
        self._observer = observer
        self._ended = threading.Event()
        self.lingers = threading.Event()
        self.forgotten = threading.Event()
        self.forgotten.set()
        self.made.append(self)

    def run(self) -> FakeReceiver:
        self._observer.listening(UnixAddress("in"))
        self._ended.wait()
        return self

    def stop(self, reason: str) -> None:
        del reason
        self._ended.set()

    def linger(self) -> None:
        self.lingers.set()
        self.forgotten.wait()


@pytest.fixture
def guest() -> Iterator[FakeGuest]:
    with Ram.create([("ram", 4096)]) as ram:
        yield FakeGuest(ram)


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[FakeReceiver]:
    made: list[FakeReceiver] = []
    monkeypatch.setattr(module, "Receiver", type("Made", (FakeReceiver,), {"made": made}))
    return made


def listen(arrival: Arrival) -> None:
    arrival.listen(UnixAddress("in"), 1, GuestSettings(4096, Workload(), accelerator="off"))


def test_a_guest_that_arrives_while_progress_is_told_has_arrived(
    guest: FakeGuest, made: list[FakeReceiver]
) -> None:
    arrival = Arrival(guest)
    listen(arrival)
    arrives = threading.Thread(target=made[0].sink.taken_over)

    class Counters:
        @property
        def bytes_in(self) -> int:
            arrives.start()
            arrives.join(MEETING)
            return 1

    arrival.progress(Counters())  # type: ignore[arg-type]
    arrives.join()
    assert arrival.status == "completed"
    arrival.end()
    assert arrival.status == "completed"
    assert guest.told == ["setup", "active", "arrived"]


def test_of_two_monitors_that_ask_at_once_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, guest: FakeGuest, made: list[FakeReceiver]
) -> None:
    arrival = Arrival(guest)
    refused: list[str] = []

    def ask() -> None:
        try:
            listen(arrival)
        except MonitorError as error:
            refused.append(str(error))

    other = threading.Thread(target=ask)

    class Slow(FakeReceiver):
        def __init__(self, *arguments: Any) -> None:
            if not other.ident:
                other.start()
                other.join(MEETING)
            super().__init__(*arguments)

    Slow.made = made
    monkeypatch.setattr(module, "Receiver", Slow)
    listen(arrival)
    other.join()
    assert refused == ["The incoming migration has already been started"]
    assert len(made) == 1
    arrival.end()


def test_an_end_without_an_answer_is_a_failure(guest: FakeGuest) -> None:
    arrival = Arrival(guest)
    listen(arrival)
    arrival.end()
    assert arrival.status == "failed"
    assert "the source was lost before it knew" in arrival.error
    assert guest.told == ["setup", arrival.error]


def test_a_process_whose_guest_did_not_come_lives_until_its_source_need_not_ask(
    guest: FakeGuest, made: list[FakeReceiver]
) -> None:
    arrival = Arrival(guest)
    listen(arrival)
    need_not_ask = made[0].forgotten
    need_not_ask.clear()
    made[0].stop("it failed")
    assert made[0].lingers.wait(10)
    assert arrival.status == "failed"
    assert guest.told == ["setup", arrival.error]
    assert not guest.ended.is_set()
    need_not_ask.set()
    assert guest.ended.wait(10)
    arrival.end()


def test_a_guest_that_came_does_not_end_its_process(
    guest: FakeGuest, made: list[FakeReceiver]
) -> None:
    arrival = Arrival(guest)
    listen(arrival)
    made[0].sink.taken_over()
    arrival.end()
    assert made[0].lingers.is_set()
    assert guest.told == ["setup", "arrived"]
    assert not guest.ended.is_set()
