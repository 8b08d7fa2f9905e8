"""What a destination's relay answers to one that asks how a switchover ended."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import pytest

from fakes_relay import until
from ramferry.errors import MigrationFailed
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.peer import reception as reception_module
from ramferry.flows.peer.control import Control
from ramferry.flows.peer.reception import Reception
from ramferry.flows.peer.visit import Visit
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.settings import RelaySettings
from ramferry.metrics.agreement import Agreement
from ramferry.transport.address import UnixAddress
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
    parse_message,
)

TOKEN = b"sixteen bytes ok"
AGREED = Agreement(
    far="0", protocol=1, digest="", member_size="64K", method_per_packet=True, answers=True
)


class Near:
    """The end of the source's relay of one control connection."""

    made: ClassVar[list[Near]] = []

    def __init__(self) -> None:
        self.made.append(self)
        far, self.socket = socket.socketpair()
        self.socket.settimeout(5)
        self.far = Plain(far)

    def says(self, message: Message) -> None:
        self.socket.sendall(encode(message))

    def hears(self) -> Message:
        size = body_size(self.socket.recv(HEAD_SIZE, socket.MSG_WAITALL))
        return parse_message(self.socket.recv(size, socket.MSG_WAITALL))

    def asks(self, *, cut: bool = False) -> Message:
        self.says(Ask(cut))
        return self.hears()


class Place:
    """A destination's relay with one migration that another brings."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.settings = RelaySettings(
            UnixAddress("in"), UnixAddress("out"), "none", decide=30.0, verify=False
        )
        self.session = Session(self.settings, self.notes.append)
        self.session.behind = Outlet(self.session, self.settings)
        self.near = Near()
        self.visit = Visit(Control(self.near.far), TOKEN, AGREED)
        self.visit.listen()
        self.reception = Reception(self.settings, self.notes.append, lambda: "")
        self.reception._visits[TOKEN] = self.visit

    def resumed(self, token: bytes = TOKEN) -> Near:
        near = Near()
        self.reception.resume(near.far, token, "there")
        return near


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.reception.close()
    made.visit.close()
    for near in Near.made:
        near.far.close()
        near.socket.close()
    Near.made.clear()


def test_while_it_is_carried_nothing_is_decided(place: Place) -> None:
    place.visit.begin(place.session)
    assert place.near.asks() == Outcome("pending")
    place.session.advance(Phase.SWITCHOVER)
    assert place.near.asks() == Outcome("pending")


def test_what_the_far_end_was_told_stays_so_if_it_asks_again(place: Place) -> None:
    """Main may come between two of its questions."""
    place.visit._cut_off()
    assert place.visit.outcome().outcome == "not taken"
    place.visit._session = place.session
    place.visit._cut_off()
    place.visit.begin(place.session)
    assert "main came after its far end was told" in str(place.session.error)


def test_the_destination_has_said_that_it_has_the_guest(place: Place) -> None:
    place.visit.begin(place.session)
    place.session.advance(Phase.SWITCHOVER)
    place.session.taken = True
    assert place.near.asks() == Outcome("taken")


def test_a_failure_before_rams_end_was_let_go_is_certain(place: Place) -> None:
    place.visit.begin(place.session)
    place.session.fail(MigrationFailed("so it was"))
    assert place.near.hears() == Failed("so it was", 5)
    assert place.near.asks() == Outcome("not taken", "so it was")
    # and a thread that comes to ram's END only now does not let it go
    assert not place.session.advance(Phase.SWITCHOVER)
    assert place.near.asks() == Outcome("not taken", "so it was")


def test_a_failure_where_rams_end_may_have_passed_unseen_is_not(place: Place) -> None:
    place.visit.begin(place.session)
    place.session.lost_sight("device", "odd")
    place.session.fail(MigrationFailed("so it was"))
    place.near.hears()
    assert place.near.asks() == Outcome("unknown", "so it was")


@pytest.mark.parametrize(("taken", "outcome"), [(False, "not taken"), (None, "unknown")])
def test_a_failure_in_the_switchover_is_as_certain_as_the_destination_was(
    place: Place, taken: bool | None, outcome: str
) -> None:
    place.visit.begin(place.session)
    place.session.advance(Phase.SWITCHOVER)
    place.session.taken = taken
    place.session.fail(MigrationFailed("so it was"), final=True)
    place.near.hears()
    assert place.near.asks() == Outcome(outcome, "so it was")  # type: ignore[arg-type]


def test_main_that_comes_after_its_absence_was_told_is_not_taken(place: Place) -> None:
    assert place.near.asks() == Outcome("pending", "main has not come")
    assert place.near.asks(cut=True) == Outcome("not taken", "main has not come")
    place.visit.begin(place.session)
    assert place.session.failed


def test_a_far_end_that_lost_main_has_it_ended_here(place: Place) -> None:
    near, far = socket.socketpair()
    with near, far:
        place.visit.main(Plain(near))
        place.visit.begin(place.session)
        place.near.asks(cut=True)
        assert far.recv(1) == b""
    assert not place.session.source_gave_up(0.0)


def test_a_source_that_gave_up_is_told_from_a_lost_one(place: Place) -> None:
    place.visit.begin(place.session)
    place.session.advance(Phase.SWITCHOVER)
    assert not place.session.source_gave_up(0.0)
    place.near.says(Failed("the source ended it", 5))
    assert place.session.source_gave_up(5.0)


def test_a_lost_control_connection_is_no_sign_that_it_gave_up(place: Place) -> None:
    place.visit.begin(place.session)
    place.near.socket.close()
    assert not place.session.source_gave_up(5.0)


def test_it_is_resumed_twice_and_the_last_connection_counts(place: Place) -> None:
    place.visit.begin(place.session)
    first, second = place.resumed(), place.resumed()
    assert first.socket.recv(1) == b""
    assert second.asks() == Outcome("pending")


def test_another_token_is_not_known(place: Place) -> None:
    near = place.resumed(b"another token 16")
    answer = near.hears()
    assert isinstance(answer, Outcome)
    assert answer.outcome == "unknown"
    assert near.socket.recv(1) == b""


def ended(place: Place) -> None:
    place.visit.begin(place.session)
    place.session.advance(Phase.SWITCHOVER)
    place.session.taken = True
    place.session.advance(Phase.CONFIRMED)
    place.reception.over(place.visit)


def test_an_outcome_is_kept_until_the_far_end_knows(place: Place) -> None:
    ended(place)
    assert place.reception.owes
    again = place.resumed()
    assert again.asks() == Outcome("taken")
    again.says(Told())
    until(lambda: not place.reception.owes)
    place.reception.expire()
    assert again.socket.recv(1) == b""
    assert not place.notes


def test_an_outcome_that_nobody_asks_for_is_forgotten_with_a_sentence(place: Place) -> None:
    place.reception._settings = replace(place.settings, decide=0.0)
    ended(place)
    place.reception.expire()
    assert not place.reception.owes
    assert "has not asked how its switchover ended" in place.notes[0]
    assert "the guest was taken over here" in place.notes[0]


@pytest.mark.parametrize("blind", [False, True])
def test_whether_a_guest_stands_still_is_told_as_far_as_it_is_known(
    place: Place, blind: bool
) -> None:
    place.reception._settings = replace(place.settings, decide=0.0)
    place.visit.begin(place.session)
    if blind:
        place.session.lost_sight("device", "odd")
    before = len(place.notes)
    place.session.fail(MigrationFailed("its source's relay was killed"))
    place.reception.over(place.visit)
    assert place.reception.owes
    place.reception.expire()
    # ram's END may have come unseen, and then it may stand still
    told = (
        "its guest may stand still there: the guest was perhaps taken over: see `info status` here"
    )
    if not blind:
        told = "if the switchover had begun: the guest was not taken over here"
    assert place.notes[-1].endswith(told), place.notes
    assert len(place.notes) == before + 1


def test_not_more_outcomes_are_kept_than_is_allowed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception_module, "MOST_KEPT", 1)
    ended(place)
    other = Visit(Control(Near().far), b"another token 16", AGREED)
    other.begin(place.session)
    place.reception.over(other)
    assert list(place.reception._kept) == [b"another token 16"]
    assert "has not asked" in place.notes[0]
    other.close()


def test_a_migration_without_answers_is_not_kept(place: Place) -> None:
    place.visit.agreed = replace(AGREED, answers=False)
    ended(place)
    assert not place.reception.owes


def known(place: Place) -> bool:
    place.reception.expire()
    return place.reception.visit(TOKEN) is not None


def test_a_migration_that_was_given_up_before_its_main_came_is_forgotten(place: Place) -> None:
    assert known(place)
    place.near.says(Failed("its source has not opened all its channels", 9))
    until(lambda: not known(place))
    assert place.near.socket.recv(1) == b"", "its control connection is still there"


def test_a_migration_that_has_begun_is_not_forgotten_with_its_far_end(place: Place) -> None:
    place.visit.begin(place.session)
    place.near.says(Failed("it broke", 5))
    until(lambda: place.session.failed)
    assert known(place)
