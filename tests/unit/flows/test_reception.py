"""Who is greeted where Ramferrys call: how many, for how long, and that nothing is left of them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import pytest

import in_memory
from connecting import SETTLE, taken, until
from leftovers import descriptors, descriptors_close, threads, threads_end
from ramferry.errors import RemoteProtocolError
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.peer import control as control_module
from ramferry.flows.peer import reception as reception_module
from ramferry.flows.peer import visit as visit_module
from ramferry.flows.peer.agreement import own_hello
from ramferry.flows.peer.reception import MOST_GREETED, MOST_WAITING, Reception
from ramferry.flows.session.session import Session
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import UnixAddress
from ramferry.wire.relay_messages import (
    HEAD_SIZE,
    Failed,
    Hello,
    body_size,
    encode,
    headed,
    parse_hello,
    parse_message,
)
from ramferry.wire.relay_opening import NO_TOKEN, OPENING_SIZE, parse_opening

SETTINGS = RelaySettings(UnixAddress("in"), UnixAddress("out"), "none", decide=0.0)
HELLO = own_hello(SETTINGS, "zstd")


class Caller:
    """One who opened a control connection."""

    def __init__(self, reception: Reception) -> None:
        self._near, self.end = in_memory.joined()
        self.end.settle(SETTLE)
        reception.greet(self._near, "there")

    def says_hello(self, hello: Hello = HELLO) -> bytes:
        """Say hello; the token of the answer, and the answer in ``hello``."""
        self.end.send([encode(hello)])
        opening = parse_opening(taken(self.end, OPENING_SIZE))
        self.hello = parse_hello(self._body())
        return opening.token

    def hears(self) -> object:
        return parse_message(self._body())

    def _body(self) -> bytes:
        return taken(self.end, body_size(taken(self.end, HEAD_SIZE)))

    def close(self) -> None:
        self.end.close()
        self._near.close()


@dataclass(slots=True)
class Hall:
    """A reception, what it notes, and its callers."""

    reception: Reception
    notes: list[str]
    callers: list[Caller]
    refusal: str = ""

    def call(self) -> Caller:
        self.callers.append(Caller(self.reception))
        return self.callers[-1]


@pytest.fixture
def hall() -> Iterator[Hall]:
    """What leaves neither thread nor descriptor behind."""
    threads_before, descriptors_before = threads(), descriptors()
    notes: list[str] = []
    made: Hall
    reception = Reception(SETTINGS, notes.append, lambda: made.refusal)
    made = Hall(reception, notes, [])
    yield made
    reception.close()
    for caller in made.callers:
        caller.end.close()
    threads_end(threads_before)
    # an end that its reception did not close would still be open here
    assert [one for one in made.callers if one._near.fileno() >= 0] == []
    descriptors_close(descriptors_before)


def test_each_migration_has_a_token_of_its_own(hall: Hall) -> None:
    tokens = {hall.call().says_hello() for _ in range(3)}
    assert len(tokens) == 3
    assert NO_TOKEN not in tokens
    for token in tokens:
        visit = hall.reception.visit(token)
        assert visit is not None
        assert visit.agreed.digest == "xxh3-128"
    assert hall.reception.visit(NO_TOKEN) is None


def test_a_busy_relay_says_so(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception_module, "ENDING", 0.0)
    hall.refusal = "another migration is under way"
    caller = hall.call()
    token = caller.says_hello()
    assert caller.hello.refused == "another migration is under way"
    until(caller.end.hung_up)
    assert hall.reception.visit(token) is None


def test_a_migration_that_is_about_to_end_is_waited_for(hall: Hall) -> None:
    """The source's relay may know of the end, and begin the next one, before this one has ended."""
    hall.refusal = "another migration is under way"
    caller = hall.call()
    timer = threading.Timer(0.1, lambda: setattr(hall, "refusal", ""))
    timer.start()
    token = caller.says_hello()
    assert caller.hello.refused == ""
    assert hall.reception.visit(token) is not None
    timer.join()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"protocol": (7, 9)}, "speaks version 7 to 9 of the relay protocol"),
        ({"page_size": 65536}, "pages of 65536 bytes"),
        ({"method": "teleport"}, "cannot inflate teleport"),
    ],
)
def test_what_does_not_suit_is_noted_and_the_caller_can_judge_it_as_well(
    hall: Hall, change: dict[str, object], sentence: str
) -> None:
    caller = hall.call()
    assert caller.says_hello(msgspec.structs.replace(HELLO, **change)) == NO_TOKEN
    assert caller.hello.protocol == (1, 1)
    until(caller.end.hung_up)
    until(lambda: bool(hall.notes))
    assert hall.notes[0].startswith("refused a migration from there: ")
    assert sentence in hall.notes[0]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ((1 << 30).to_bytes(4, "big") + bytes(8) + b"[" * 100, "received length 1073741824"),
        (headed(b"{}"), "Object missing required field"),
        (b"GET / HTTP/1.1\r\n\r\n", "received length 1195725856"),
    ],
)
def test_nonsense_for_a_hello_is_refused(hall: Hall, raw: bytes, sentence: str) -> None:
    caller = hall.call()
    caller.end.send([raw])
    until(caller.end.hung_up)
    until(lambda: bool(hall.notes))
    assert sentence in hall.notes[0]


def test_not_more_are_greeted_at_once_than_threads_are_allowed(hall: Hall) -> None:
    silent = [hall.call() for _ in range(MOST_GREETED)]
    one_more = hall.call()
    assert one_more.end.hung_up()
    assert "too many say hello at once" in hall.notes[0]
    for caller in silent:
        caller.end.close()
    until(lambda: not hall.reception._greeting)
    assert hall.call().says_hello() != NO_TOKEN


def test_a_hello_that_does_not_come_is_not_waited_for(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "STALL", 0.05)
    caller = hall.call()
    until(caller.end.hung_up)
    until(lambda: bool(hall.notes))
    assert hall.notes == ["refused a migration from there: it sends no hello"]


def test_an_end_in_the_middle_of_hellos_leaves_nothing(hall: Hall) -> None:
    hanging = hall.call()
    begun = hall.call()
    begun.end.send([encode(HELLO)[:9]])
    agreed = hall.call()
    agreed.says_hello()
    hall.reception.close()
    for caller in (hanging, begun, agreed):
        until(caller.end.hung_up)
    # nobody is to blame for it
    assert hall.notes == []


def test_a_hello_that_comes_through_as_all_ends_is_not_kept(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def agree_late(*given: object, **named: object) -> object:
        hall.reception.close()
        return agree(*given, **named)  # type: ignore[arg-type]

    agree = reception_module.agree
    monkeypatch.setattr(reception_module, "agree", agree_late)
    caller = hall.call()
    caller.end.send([encode(HELLO)])
    until(caller.end.hung_up)
    until(lambda: not hall.reception._greeting)
    assert hall.reception._visits == {}


def test_of_too_many_that_wait_for_their_main_the_oldest_goes(hall: Hall) -> None:
    tokens = [hall.call().says_hello() for _ in range(MOST_WAITING + 1)]
    until(hall.callers[0].end.hung_up)
    assert [hall.reception.visit(token) is not None for token in tokens] == [False] + [
        True
    ] * MOST_WAITING


def test_a_migration_whose_main_does_not_come_is_forgotten(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall.reception._settings = replace(SETTINGS, decide=0.01)
    monkeypatch.setattr(visit_module, "MAIN_WITHIN", 60.0)
    patient, begun, gone = hall.call(), hall.call(), hall.call()
    waits = patient.says_hello()
    monkeypatch.setattr(visit_module, "MAIN_WITHIN", -0.01)
    goes_on, leaves = begun.says_hello(), gone.says_hello()
    visit = hall.reception.visit(goes_on)
    assert visit is not None
    visit.begin(session())
    hall.reception.expire()
    assert gone.end.hung_up()
    assert [hall.reception.visit(one) is None for one in (waits, goes_on, leaves)] == [
        False,
        False,
        True,
    ]
    (note,) = hall.notes
    assert re.fullmatch(
        "a migration that was agreed on with the Ramferry of .+ has not come: no guest has left its"
        " source by it",
        note,
    )


def test_a_migration_whose_far_end_has_gone_is_forgotten_soon(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once, as its main may be in the listener's queue; and not if it comes back."""
    monkeypatch.setattr(visit_module, "LEFT_WITHIN", 0.3)
    caller, other = hall.call(), hall.call()
    token, kept = caller.says_hello(), other.says_hello()
    hall.reception.expire()
    assert hall.reception.visit(token) is not None
    begun = time.monotonic()
    caller.end.cut()

    def forgotten() -> bool:
        hall.reception.expire()
        return hall.reception.visit(token) is None

    until(forgotten)
    assert time.monotonic() > begun + 0.3
    assert hall.reception.visit(kept) is not None


def session() -> Session:
    made = Session(SETTINGS, lambda _: None)
    made.behind = Outlet(made, SETTINGS)
    return made


def test_a_connection_that_was_refused_fails_the_migration_that_has_not_begun(hall: Hall) -> None:
    caller = hall.call()
    visit = hall.reception.visit(caller.says_hello())
    assert visit is not None
    visit.refuse(error := an_error())
    assert caller.hears() == Failed("multifd 1: expected a, received b", 7)
    late = session()
    visit.begin(late)
    assert late.error is error


def test_a_connection_that_was_refused_fails_one_that_gathers_and_no_other(hall: Hall) -> None:
    caller, other = hall.call(), hall.call()
    gathers = hall.reception.visit(caller.says_hello())
    carries = hall.reception.visit(other.says_hello())
    assert gathers is not None
    assert carries is not None
    sessions = session(), session()
    gathers.begin(sessions[0])
    carries.begin(sessions[1])
    sessions[1].gathered.set()
    for visit in (gathers, carries):
        visit.refuse(an_error())
    assert [one.failed for one in sessions] == [True, False]
    assert isinstance(caller.hears(), Failed)


def an_error() -> RemoteProtocolError:
    return RemoteProtocolError("a", "b", channel="multifd 1")
