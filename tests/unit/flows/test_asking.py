"""How a source's relay finds out how a switchover ended, from peers that answer by a script."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from fakes_clock import Clock
from fakes_relay import until
from ramferry.errors import MigrationFailed, PeerTimeout, PeerUnreachable
from ramferry.flows.peer import asking as asking_module
from ramferry.flows.peer.asking import Asking
from ramferry.flows.peer.control import Control
from ramferry.transport.plain import Plain
from ramferry.wire.relay_messages import (
    HEAD_SIZE,
    Ask,
    Failed,
    Message,
    Outcome,
    Told,
    body_size,
    encode,
    headed,
    parse_message,
)
from ramferry.wire.relay_opening import OPENING_SIZE, Kind, Opening, parse_opening

TOKEN = b"sixteen bytes ok"
DECIDE = 20.0


class Far:
    """The far relay's end of one control connection."""

    def __init__(self) -> None:
        near, self.socket = socket.socketpair()
        self.socket.settimeout(5)
        self.near = Plain(near)

    def opening(self) -> Opening:
        return parse_opening(self._receive(OPENING_SIZE))

    def hears(self) -> Message:
        return parse_message(self._receive(body_size(self._receive(HEAD_SIZE))))

    def says(self, message: Message) -> None:
        self.socket.sendall(encode(message))

    def _receive(self, size: int) -> bytes:
        return self.socket.recv(size, socket.MSG_WAITALL)


class Place:
    """A source's relay that asks; its clock moves by a second a step."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.first = Far()
        self.others: list[Far] = []
        self.refused = 0
        self.refuses = False
        self.control = Control(self.first.near)
        self.asking = Asking(self._resume, TOKEN, DECIDE, self.control, self.clock.monotonic)
        self.control.listen(self.asking.hear)

    def _resume(self) -> Plain:
        if self.refuses:
            self.refused += 1
            raise PeerUnreachable("nobody accepts there")
        self.others.append(Far())
        return self.others[-1].near

    def step(self, *, cut: bool = False, seconds: float = 1.0) -> Outcome | None:
        self.clock.now += seconds
        return self.asking.step(cut=cut)

    def steps(self) -> None:
        """Step until that raises."""
        while True:
            self.step(cut=True)

    def steps_until(self, met: Callable[[], bool], *, cut: bool = False) -> None:
        """Step in little time until something was heard."""
        until(lambda: self.step(cut=cut, seconds=0.001) is None and met())

    def close(self) -> None:
        self.asking.close()
        self.control.close()
        for far in (self.first, *self.others):
            far.socket.close()


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.close()


def test_it_asks_once_a_second_while_main_may_still_bring_the_answer(place: Place) -> None:
    assert place.step() is None
    assert place.first.hears() == Ask()
    assert place.step(seconds=0.5) is None
    place.first.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        place.first.socket.recv(1)
    place.first.socket.settimeout(5)
    assert place.step(seconds=0.6) is None
    assert place.first.hears() == Ask()


def test_it_asks_at_once_when_main_is_lost_and_says_so(place: Place) -> None:
    place.step()
    assert place.first.hears() == Ask(cut=False)
    place.step(cut=True, seconds=0.0)
    assert place.first.hears() == Ask(cut=True)


@pytest.mark.parametrize("word", [Outcome("taken"), Outcome("not taken", "it died")])
def test_the_word_ends_it(place: Place, word: Outcome) -> None:
    place.step()
    place.first.says(Outcome("pending"))
    place.first.says(word)
    found: list[Outcome] = []

    def known() -> bool:
        if (outcome := place.step(seconds=0.001)) is not None:
            found.append(outcome)
        return bool(found)

    until(known)
    assert found == [word]
    assert not place.others


def test_a_destination_that_has_not_decided_is_waited_for_without_limit(place: Place) -> None:
    for _ in range(4):
        assert place.step(seconds=4.0) is None
        place.asking.hear(Outcome("pending"))
        assert place.step(seconds=1.0) is None


def test_a_silent_far_end_is_asked_on_other_connections_and_given_up_in_time(place: Place) -> None:
    began = place.clock.now
    with pytest.raises(PeerTimeout, match=r"did not say within 20 s .*says nothing"):
        place.steps()
    assert place.clock.now - began == pytest.approx(DECIDE, abs=2)
    assert 2 <= len(place.others) <= 4
    assert place.others[0].opening() == Opening(Kind.RESUMED, TOKEN)
    assert place.others[0].hears() == Ask(cut=True)


def test_the_end_of_a_control_connection_that_was_given_up_changes_nothing(place: Place) -> None:
    until(lambda: place.step(cut=True) is None and bool(place.others))
    place.asking.hear(None)
    assert place.asking.trouble == "it accepts connections, and says nothing"
    place.others[0].says(Outcome("taken"))
    assert place.asking.until_known(lambda: False) == Outcome("taken")
    assert len(place.others) == 1


def test_time_in_which_this_process_stood_still_does_not_count(place: Place) -> None:
    assert place.step(cut=True) is None
    assert place.step(cut=True, seconds=1000.0) is None


def test_a_broken_control_connection_is_made_anew(place: Place) -> None:
    place.step(cut=True)
    place.first.socket.close()
    until(lambda: place.asking._control is None)
    assert place.step(cut=True) is None
    (again,) = place.others
    assert again.opening() == Opening(Kind.RESUMED, TOKEN)
    assert again.hears() == Ask(cut=True)
    again.says(Outcome("taken"))
    assert place.asking.until_known(lambda: False) == Outcome("taken")
    place.asking.told()
    assert again.hears() == Told()


def test_a_far_end_whose_control_broke_is_told_on_another(place: Place) -> None:
    place.step(cut=True)
    place.first.says(Outcome("taken"))
    assert place.asking.until_known(lambda: False) == Outcome("taken")
    place.first.socket.close()
    until(lambda: place.asking._control is None)
    place.asking.told(seek=True)
    (again,) = place.others
    assert again.opening() == Opening(Kind.RESUMED, TOKEN)
    assert [again.hears(), again.hears()] == [Ask(cut=True), Told()]


def test_a_far_end_that_is_not_to_be_had_is_looked_for_for_a_while(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking_module, "_LOOK", 0.001)
    place.first.socket.close()
    until(lambda: place.asking._control is None)
    place.asking.told()
    place.refuses = True
    assert place.refused == 0

    def passes() -> float:
        place.clock.now += 0.5
        return place.clock.now

    place.asking._clock = passes
    place.asking.told(seek=True)
    assert 5 <= place.refused <= 10
    assert not place.others


def test_garbage_is_no_answer(place: Place) -> None:
    place.step(cut=True)
    place.first.socket.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    until(lambda: place.asking._control is None)
    place.step(cut=True)
    place.others[0].socket.sendall(headed(b"not JSON"))
    until(lambda: place.asking._control is None)
    place.step(cut=True)
    place.others[1].says(Outcome("not taken", "so it is"))
    assert place.asking.until_known(lambda: False).why == "so it is"


def test_a_failure_that_the_far_end_tells_is_no_outcome(place: Place) -> None:
    place.step()
    place.first.says(Failed("it broke", 5))
    place.first.says(Outcome("pending"))
    place.steps_until(lambda: place.asking._word is None)


def test_a_far_end_that_does_not_know_the_migration_cannot_know_it_later(place: Place) -> None:
    place.step(cut=True)
    place.first.socket.close()
    until(lambda: place.asking._control is None)
    place.step(cut=True)
    place.others[0].says(Outcome("unknown", "the relay there does not know of this migration"))
    with pytest.raises(PeerTimeout, match=r"cannot know .* does not know of this migration"):
        place.asking.until_known(lambda: False)


def test_a_late_word_on_a_former_connection_counts(place: Place) -> None:
    place.step(cut=True)
    for _ in range(7):
        place.step(cut=True)
    assert place.others
    place.asking.hear(Outcome("taken"))
    assert place.step() == Outcome("taken")


def test_the_end_of_a_former_connection_is_not_the_end_of_the_present_one(place: Place) -> None:
    for _ in range(8):
        place.step(cut=True)
    assert place.asking._control is not None
    place.asking.hear(None, place.control)
    assert place.asking._control is not None


def test_nobody_accepts_until_somebody_does(place: Place) -> None:
    place.refuses = True
    place.first.socket.close()
    until(lambda: place.asking._control is None)
    for _ in range(5):
        assert place.step(cut=True) is None
    assert place.refused >= 4
    place.refuses = False
    place.step(cut=True)
    place.others[0].says(Outcome("taken"))
    assert place.asking.until_known(lambda: False) == Outcome("taken")


def test_nobody_accepts_at_all(place: Place) -> None:
    place.refuses = True
    place.first.socket.close()
    until(lambda: place.asking._control is None)
    with pytest.raises(PeerTimeout, match="nobody accepts there"):
        place.steps()


def test_a_source_that_ends_meanwhile_is_not_held_for_long(place: Place) -> None:
    def gone() -> bool:
        place.clock.now += 1
        return True

    before = place.clock.now
    with pytest.raises(MigrationFailed, match="the source ended the migration in the switchover"):
        place.asking.until_known(gone)
    assert 5 <= place.clock.now - before < DECIDE


def test_of_a_source_that_ends_meanwhile_the_far_end_is_asked_on(place: Place) -> None:
    gone = iter([True, True])

    def ends() -> bool:
        if next(gone, None) is None:
            place.first.says(Outcome("taken"))
        return True

    assert place.asking.until_known(ends) == Outcome("taken")
