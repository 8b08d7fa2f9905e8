"""A sender and a receiver that speak ``relay:`` to each other, and lose each other in the
switchover: the answer is asked for, and kept for who asks."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes_ends import BUSY, DEADLINE, Here, Run, There, until
from peer_meddler import Flip, Meddler
from ramferry.errors import Cancelled, HostError, PeerTimeout, PeerUnreachable
from ramferry.flows.ends.precopy import Precopy
from ramferry.flows.outlet.outgoing import Outgoing
from ramferry.flows.session import reminder
from ramferry.flows.session.session import Phase
from ramferry.flows.settings import SendSettings
from ramferry.transport.address import RelayAddress, UnixAddress
from ramferry.wire.events import BlockEntry
from ramferry.wire.writer import command, ram_start, round_end, section, stream_start

PONG = 16 + 8
"""Bytes of main's first frame back."""


@dataclass(frozen=True, slots=True)
class Ends:
    here: Here
    there: There
    between: Meddler
    address: RelayAddress

    def run(self, **settings: object) -> Run:
        return Run(self.here, self.address, Precopy(), **settings)  # type: ignore[arg-type]

    def lose(self) -> None:
        """Cut the link for good."""
        with contextlib.suppress(OSError):  # it is already
            self.between.__exit__()


Made = Callable[..., Ends]


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Made]:
    made: list[Ends] = []

    def make(decide: float = 20.0) -> Ends:
        listens, between = UnixAddress(f"{tmp_path}/in"), UnixAddress(f"{tmp_path}/between")
        there = There(RelayAddress(listens), decide=decide)
        made.append(Ends(Here(BUSY), there, Meddler(between, listens), RelayAddress(between)))
        return made[0]

    yield make
    for one in made:
        one.here.close()
        one.there.close()
        one.lose()


def assert_taken(ends: Ends, run: Run) -> None:
    run.join()
    assert run.error is None, run.error
    assert run.statuses[-1] == "completed"
    assert run.sender.progress().downtime_ms is not None
    assert not ends.here.vcpu.running
    assert not ends.here.stood_still
    assert ends.there.result().completed
    assert ends.there.taken_over.is_set()
    until(lambda: not ends.there.listens)
    assert not any("has not asked" in note for note in ends.there.notes)


def goes_on(here: Here) -> None:
    counter = here.vcpu.counter
    until(lambda: here.vcpu.counter > counter)
    assert not here.stood_still


def test_a_good_migration_keeps_nobody(ends: Made) -> None:
    made = ends()
    assert_taken(made, made.run())


def test_an_answer_that_is_cut_is_asked_for(ends: Made) -> None:
    made = ends()
    made.there.committing = made.between.calm
    assert_taken(made, made.run())


def test_an_answer_that_is_damaged_is_asked_for(ends: Made) -> None:
    made = ends()
    made.between.flip = Flip("main", PONG + 20, way="back")
    assert_taken(made, made.run())
    assert made.between.struck.is_set()


@pytest.mark.parametrize("cut", [False, True])
def test_a_guest_that_is_refused_there_goes_on_here(ends: Made, cut: bool) -> None:
    """Whether the link lives or not, it is certain."""
    made = ends()

    def refuse() -> None:
        if cut:
            made.between.calm()
        raise HostError("this guest cannot be taken")

    made.there.committing = refuse
    run = made.run()
    run.join()
    assert str(run.error) == (
        "the destination has not taken the guest over: this guest cannot be taken"
    )
    assert isinstance(run.error, HostError)
    assert run.sender.error == str(run.error)
    goes_on(made.here)
    assert not made.there.result().completed
    until(lambda: not made.there.listens)


def test_a_guest_of_which_nobody_knows_stands_still(
    ends: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reminder, "SECONDS", 0.2)
    made = ends(decide=1.0)
    made.there.committing = made.lose
    run = made.run(decide=1.0)
    run.join()
    assert isinstance(run.error, PeerTimeout)
    assert "the far end did not say within 1 s whether the destination has it" in str(run.error)
    assert "stands still here; see with `info status` whether the destination runs" in str(
        run.error
    )
    assert "if so, `quit` here; if not, end the destination, and then `cont`" in str(run.error)
    assert "may run it all the same" not in str(run.error)
    assert run.sender.error == str(run.error)
    assert run.statuses[-1] == "failed"
    assert made.here.stood_still
    assert not made.here.vcpu.running
    assert run.notes == [
        "the destination's end has not said for 0 s whether it has taken the guest: it is asked "
        "again and again, and the guest stands still here"
    ]
    # it runs there, where it is said in the end that nobody has asked
    assert made.there.result().completed
    assert made.there.taken_over.is_set()
    until(lambda: not made.there.listens)
    assert made.there.notes[-1] == (
        "the Ramferry at the source has not asked how its switchover ended, and its guest may stand"
        " still there: the guest was taken over here"
    )


def test_a_receiver_that_keeps_its_outcome_ends_at_once_when_told_to(ends: Made) -> None:
    made = ends()
    made.there.committing = made.lose
    run = made.run(decide=1.0)
    assert made.there.ended.wait(DEADLINE)
    assert made.there.listens
    made.there.receiver.stop("by the test")
    until(lambda: not made.there.listens)
    assert made.there.result().completed
    run.join()
    assert made.here.stood_still


def test_a_receiver_that_keeps_its_outcome_takes_no_other_guest(ends: Made) -> None:
    made = ends()
    made.there.committing = made.lose
    made.run(decide=0.5).join()
    assert made.there.result().completed
    other = Here()
    try:
        again = Run(other, made.there.address, Precopy())
        again.join()
        assert isinstance(again.error, PeerUnreachable)
        assert "it refuses: it has taken one already" in str(again.error)
    finally:
        other.close()


def test_a_sender_that_has_ended_lets_a_destination_that_failed_go(ends: Made) -> None:
    """All connections were cut while memory moved, so that it tells it on another one."""
    made = ends()
    run = made.run(max_bandwidth=4e6)
    run.wait("active")
    until(lambda: run.sender.progress().counters.normal_pages > 10)
    # a receiver whose guest has not come to it yet waits for another one
    until(lambda: made.there.receiver.session.phase is Phase.CARRYING)
    made.between.calm()
    run.join()
    assert run.error is not None
    assert run.error.exit_code == 5
    goes_on(made.here)
    assert not made.there.result().completed
    until(lambda: not made.there.listens)


def test_who_has_no_guest_that_stands_still_tells_that_it_gave_up(ends: Made) -> None:
    """A restore that is cancelled: the file is as it was."""
    made = ends()
    given_up = threading.Event()
    made.there.meanwhile = lambda: given_up.wait(DEADLINE)
    blocks = [BlockEntry(one.name, one.size, 4096) for one in made.here.ram.blocks.values()]
    mark, rest = round_end(2, "round")
    with Outgoing(SendSettings(made.address, "none")) as outgoing:
        outgoing.open()
        outgoing.main(stream_start("ramferry-1") + command(1) + ram_start(2, blocks))
        outgoing.sync(mark)
        outgoing.main(rest + section(3, 2))  # type: ignore[arg-type]
        outgoing.sync(mark)
        outgoing.main(rest)

        def waiting() -> None:
            if made.there.state is not None:
                raise Cancelled("by the test")

        with pytest.raises(Cancelled) as raised:
            outgoing.hand_over(made.here.device_state(), waiting)
        assert not outgoing.session.held
        outgoing.abort(raised.value)
        until(lambda: made.there.receiver.error is not None)
        given_up.set()
    # its word and the end of its channels come on connections of their own
    assert re.search(
        "the far end gave it up: by the test|the source closed it", made.there.result().error
    )
    until(lambda: not made.there.listens)
