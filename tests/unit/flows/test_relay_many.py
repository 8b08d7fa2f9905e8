"""Several migrations at a time through one relay: each is carried as if it were alone."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from fakes_destination import Habits
from fakes_many import LONG, Many, guest_of, many_by_a_pair, results_of, uuid_of
from fakes_relay import RelayThread, until
from fakes_source import LONG_STALL, FakeSource, at_end, dial
from fakes_wire import MAIN, Close, Do, Guest, Script, Step, header
from ramferry.errors import UsageError
from ramferry.transport.address import TcpAddress, UnixAddress
from ramferry.wire.packets import Initial


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder with a short name: a socket's path has 107 bytes at most, and a UUID takes 36."""
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        yield Path(folder)


def scripts_of(count: int, **fields: object) -> list[Script]:
    return [Script(guest_of(number + 1, **fields)) for number in range(count)]


def together(scripts: list[Script], what: str = "part") -> None:
    """None goes on from a step before all others have come to it."""
    meeting = threading.Barrier(len(scripts))
    for script in scripts:
        script.insert(script.find(what, MAIN), Do(lambda: meeting.wait(LONG)))


@pytest.mark.parametrize("count", [2, 8])
def test_each_guest_arrives_at_its_own_destination(tmp_path: Path, count: int) -> None:
    many, scripts = Many(tmp_path), scripts_of(count)
    together(scripts)
    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts) as moves,
        many.sources(relay.address, moves),
    ):
        results = results_of(relay, moves)
        assert [one.error for one in results] == [""] * count
        assert len({one.migration for one in results}) == count
        assert {one.counters.migration for one in results} == {one.migration for one in results}
        assert {one.migration for one in relay.seen.snapshots} == {one.migration for one in results}
        for move in moves:
            move.arrived()


@pytest.mark.parametrize("count", [2, 8])
def test_a_pair_carries_several(tmp_path: Path, count: int) -> None:
    scripts = scripts_of(count)
    together(scripts)
    with (
        many_by_a_pair(tmp_path) as (many, near, far),
        many.guests(scripts) as moves,
        many.sources(near.address, moves),
    ):
        there = results_of(far, moves)
        assert [one.error for one in results_of(near, moves)] == [""] * count
        assert [one.migration for one in results_of(near, moves)] == [
            one.migration for one in there
        ]
        for move in moves:
            move.arrived()


def _gathered(relay: RelayThread, count: int) -> bool:
    return sum(one.gathered.is_set() for one in relay.relay.arrivals.sessions) == count


def test_guests_of_one_host_that_come_one_after_another(tmp_path: Path) -> None:
    many, scripts = Many(tmp_path), scripts_of(8)
    go_on = threading.Event()
    for script in scripts:
        script.insert(script.find("part", MAIN), Do(lambda: go_on.wait(LONG)))
    with RelayThread(many.stage.settings) as relay, many.guests(scripts) as moves:
        try:
            for count, move in enumerate(moves, 1):
                move.source = FakeSource(relay.address, move.script)
                until(partial(_gathered, relay, count), LONG)
            go_on.set()
            assert [one.error for one in results_of(relay, moves)] == [""] * 8
            for move in moves:
                move.arrived()
        finally:
            go_on.set()
            for move in moves:
                if move.source is not None:
                    move.source.close()


FAILS = {
    "the source is cut": Close(MAIN, "reset"),
    "a channel is cut": Close(0, "reset"),
    "a channel sends nonsense": Step(0, b"\xff" * 2000, "nonsense"),
}


@pytest.mark.parametrize("what", FAILS)
def test_one_that_fails_does_not_touch_the_others(tmp_path: Path, what: str) -> None:
    many, scripts = Many(tmp_path), scripts_of(3)
    failed = threading.Event()
    for script in scripts[1:]:
        script.insert(script.find("part", MAIN), Do(lambda: failed.wait(LONG)))
    scripts[0].insert(scripts[0].find("part", MAIN), FAILS[what])
    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts) as moves,
        many.sources(relay.address, moves),
    ):
        until(lambda: len(relay.seen.results) == 1, LONG)
        moves[0].stayed()
        failed.set()
        results = results_of(relay, moves)
        assert [one.completed for one in results] == [False, True, True]
        for move in moves[1:]:
            move.arrived()
        assert all(one.startswith("migration ") for one in relay.seen.notes)


def test_one_that_stalls_does_not_touch_the_others(tmp_path: Path) -> None:
    many, scripts = Many(tmp_path, stall_timeout=LONG_STALL), scripts_of(3)
    scripts[0].silence(1)
    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts) as moves,
        many.sources(relay.address, moves),
    ):
        for move in moves[1:]:
            move.arrived()
        results = results_of(relay, moves)
        assert "nothing moved for" in results[0].error
        moves[0].stayed()


def test_a_destination_that_is_slow_to_end_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever ends a migration may wait for its peers for seconds; the others do not."""
    many, scripts = Many(tmp_path), scripts_of(2)
    released = threading.Event()
    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts) as moves,
        many.sources(relay.address, moves[:1]),
    ):
        until(lambda: bool(relay.relay._carriages), LONG)
        passage = next(iter(relay.relay._carriages.values())).passage
        end = passage.end
        monkeypatch.setattr(
            passage, "end", lambda channels: (released.wait(LONG), end(channels))[1]
        )
        try:
            until(lambda: moves[0].destination.complete, LONG)
            with many.sources(relay.address, moves[1:]):
                moves[1].arrived()
                until(lambda: len(relay.seen.results) == 1, LONG)
                assert relay.seen.results[0].uuid == moves[1].uuid
        finally:
            released.set()
        moves[0].arrived()


def test_one_more_than_it_may_is_refused(tmp_path: Path) -> None:
    many, scripts = Many(tmp_path), scripts_of(3)
    many.stage.change(max_migrations=2)
    together(scripts[:2])
    held = threading.Event()
    for script in scripts[:2]:
        script.insert(script.find("end", MAIN), Do(lambda: held.wait(LONG)))
    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts) as moves,
        many.sources(relay.address, moves[:2]),
    ):
        until(lambda: len(relay.relay.arrivals.sessions) == 2, LONG)
        with dial(relay.address) as third:
            third.sendall(header())
            until(lambda: at_end(third), LONG)
        assert relay.seen.notes == [
            "refused one more migration while 2 are under way, so its guest stays at the source:"
            " --max-migrations allows more"
        ]
        held.set()
        results_of(relay, moves[:2])
        with many.sources(relay.address, moves[2:]):
            assert results_of(relay, moves)[2].completed


def test_a_far_relay_that_is_full_says_so(tmp_path: Path) -> None:
    scripts = scripts_of(2)
    held = threading.Event()
    scripts[0].insert(scripts[0].find("part", MAIN), Do(lambda: held.wait(LONG)))
    with many_by_a_pair(tmp_path) as (many, near, far):
        far.relay._settings = replace(far.relay._settings, max_migrations=1)
        with many.guests(scripts) as moves, many.sources(near.address, moves[:1]):
            until(lambda: bool(far.relay.arrivals.sessions), LONG)
            with many.sources(near.address, moves[1:]):
                until(lambda: bool(near.seen.results), LONG)
                assert "it refuses: " in near.seen.results[0].error
                assert "--max-migrations" in near.seen.results[0].error
                held.set()
                moves[0].arrived()


def test_a_guest_does_not_migrate_twice_at_a_time(tmp_path: Path) -> None:
    many, scripts = Many(tmp_path), scripts_of(1)
    held = threading.Event()
    scripts[0].insert(scripts[0].find("part", MAIN), Do(lambda: held.wait(LONG)))
    again = Script(replace(scripts[0].guest, seed=99))
    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts) as moves,
        many.sources(relay.address, moves),
    ):
        relay.gathered()
        first = relay.relay.arrivals.sessions[0].tally.migration
        second = FakeSource(relay.address, again, "127.0.2.1")
        try:
            until(lambda: bool(relay.seen.results), LONG)
            assert relay.seen.results[0].error == (
                f"guest {moves[0].uuid} is on its way already, by migration {first}: a guest cannot"
                " migrate twice at a time"
            )
            assert second.done.wait(LONG)
            assert second.status == "failed"
        finally:
            second.close()
        held.set()
        moves[0].arrived()


def test_a_guest_migrates_again_as_soon_as_it_has_failed(tmp_path: Path) -> None:
    many, scripts = Many(tmp_path), scripts_of(2)
    held = threading.Event()
    scripts[1].insert(scripts[1].find("part", MAIN), Do(lambda: held.wait(LONG)))
    good = Script(scripts[0].guest)
    scripts[0].insert(scripts[0].find("part", MAIN), Close(MAIN, "reset"))
    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts) as moves,
        many.sources(relay.address, moves),
    ):
        until(lambda: len(relay.seen.results) == 1, LONG)
        moves[0].stayed()
        with (
            many.guests([good]) as again,
            many.sources(relay.address, again),
        ):
            again[0].arrived()
        held.set()
        moves[1].arrived()


# --- its end


def test_stop_ends_each_by_the_rule_of_its_phase(tmp_path: Path) -> None:
    many, scripts = Many(tmp_path), scripts_of(3)
    held, reached, answer = threading.Event(), threading.Event(), threading.Event()
    for script in scripts[1:]:
        script.insert(script.find("part", MAIN), Do(lambda: held.wait(LONG)))

    def hesitate() -> None:
        reached.set()
        answer.wait(LONG)

    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts, {0: Habits(before_answer=hesitate)}) as moves,
        many.sources(relay.address, moves),
    ):
        assert reached.wait(LONG)
        until(lambda: len(relay.relay.arrivals.sessions) == 3, LONG)
        # results are told apart by what channels bring
        until(lambda: all(any(one.uuid) for one in relay.relay.arrivals.sessions), LONG)
        relay.relay.stop("SIGTERM")
        until(lambda: len(relay.seen.results) == 2, LONG)
        held.set()
        assert {one.error for one in relay.seen.results} == {
            "cancelled: SIGTERM; the guest stays at the source"
        }
        waits = [one for one in relay.seen.notes if "only the destination can end it" in one]
        switching = relay.relay.arrivals.sessions[0].tally.migration
        assert [one.split(":")[0] for one in waits] == [f"migration {switching}"]
        assert relay.thread.is_alive()
        answer.set()
        assert results_of(relay, moves)[0].completed
        moves[0].arrived()
        relay.thread.join(LONG)
        assert not relay.thread.is_alive()


@pytest.mark.parametrize("drains", [True, False], ids=["drain", "stop"])
def test_a_relay_that_ends_takes_no_more_beside_what_is_under_way(
    tmp_path: Path, drains: bool
) -> None:
    many, scripts = Many(tmp_path), scripts_of(1)
    reached, answer = threading.Event(), threading.Event()

    def hesitate() -> None:
        reached.set()
        answer.wait(LONG)

    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts, {0: Habits(before_answer=hesitate)}) as moves,
        many.sources(relay.address, moves),
    ):
        assert reached.wait(LONG)
        relay.relay.call(relay.relay.drain) if drains else relay.relay.stop("SIGTERM")
        until(lambda: relay.relay.arrivals.ending, LONG)
        late = FakeSource(relay.address, Script(guest_of(7)))
        try:
            assert late.done.wait(LONG)
            until(lambda: any("about to end" in one for one in relay.seen.notes), LONG)
        finally:
            late.close()
        answer.set()
        assert [one.completed for one in results_of(relay, moves)] == [True]
        relay.thread.join(LONG)
        assert not relay.thread.is_alive()


def test_a_second_signal_ends_a_switchover_too(tmp_path: Path) -> None:
    many, scripts = Many(tmp_path), scripts_of(2)
    reached, answer = threading.Barrier(3), threading.Event()

    def hesitate() -> None:
        reached.wait(LONG)
        answer.wait(LONG)

    habits = {number: Habits(before_answer=hesitate) for number in range(2)}
    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts, habits) as moves,
        many.sources(relay.address, moves),
    ):
        reached.wait(LONG)
        relay.relay.stop("SIGTERM")
        relay.relay.stop("SIGTERM")
        results = results_of(relay, moves)
        answer.set()
        assert all("ended in the switchover" in one.error for one in results)
        relay.thread.join(LONG)
        assert not relay.thread.is_alive()


# --- where each goes


def test_a_guest_without_multifd_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramferry.flows.outlet.whereabouts._FIRST_CHANNEL", 0.2)
    many = Many(tmp_path)
    script = Script(guest_of(1, channels=0))
    with RelayThread(many.stage.settings) as relay:
        source = FakeSource(relay.address, script)
        try:
            assert "names the guest by {uuid}, which multifd channels tell" in (
                relay.finished(1, LONG).error
            )
            assert source.done.wait(LONG)
        finally:
            source.close()


def test_a_guest_without_a_uuid_is_not_led_anywhere(tmp_path: Path) -> None:
    many, script = Many(tmp_path), Script(Guest(method="none"))
    with RelayThread(many.stage.settings) as relay:
        source = FakeSource(relay.address, script)
        try:
            assert (
                "and this guest has none: start both QEMUs with -uuid"
                in relay.finished(1, LONG).error
            )
        finally:
            source.close()


def test_nobody_at_a_guests_address_is_its_own_fault(tmp_path: Path) -> None:
    many, scripts = Many(tmp_path), scripts_of(2)
    with RelayThread(many.stage.settings) as relay, many.guests(scripts[1:]) as moves:
        alone = FakeSource(relay.address, scripts[0], "127.0.2.1")
        try:
            until(lambda: bool(relay.seen.results), LONG)
            assert relay.seen.results[0].exit_code == 3
            assert str(tmp_path) in relay.seen.results[0].error
            assert "{uuid}" not in relay.seen.results[0].error
            with many.sources(relay.address, moves):
                moves[0].arrived()
        finally:
            alone.close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"listen": UnixAddress("/tmp/{uuid}")}, "to connect to only"),
        ({"connect": TcpAddress("{uuid}", 4444)}, "to connect to only"),
        ({"connect": UnixAddress("/tmp/" + 70 * "x" + "{uuid}")}, "longer than 107 bytes"),
        ({"uuid": uuid_of(1)}, "--uuid is of one destination"),
    ],
)
def test_what_several_migrations_cannot_have(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    many = Many(tmp_path)
    many.stage.change(**change)
    with pytest.raises(UsageError, match=sentence):
        RelayThread(many.stage.settings)


def test_more_channels_than_one_relay_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramferry.flows.inlet.migrations.MOST_CHANNELS", 3)
    many, scripts = Many(tmp_path), scripts_of(2)
    held = threading.Event()
    scripts[0].insert(scripts[0].find("part", MAIN), Do(lambda: held.wait(LONG)))
    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts) as moves,
        many.sources(relay.address, moves[:1]),
    ):
        relay.gathered()
        with many.sources(relay.address, moves[1:]):
            until(lambda: bool(relay.seen.results), LONG)
            assert "have 3 multifd channels already" in relay.seen.results[0].error
            moves[1].stayed()
        held.set()
        moves[0].arrived()


def test_a_late_channel_of_one_guest_is_not_taken_for_anothers(tmp_path: Path) -> None:
    """All of one host: the late one has its guest's UUID."""
    many, scripts = Many(tmp_path), scripts_of(2)
    held = threading.Event()
    scripts[0].insert(scripts[0].find("part", MAIN), Do(lambda: held.wait(LONG)))
    late = Step(7, Initial(uuid_of(1), 7).encode())
    with (
        RelayThread(many.stage.settings) as relay,
        many.guests(scripts) as moves,
        many.sources(relay.address, moves[:1], one_host=True),
    ):
        relay.gathered()

        def call() -> None:
            with dial(relay.address) as sock:
                sock.sendall(late.data)
                until(lambda: at_end(sock), LONG)

        scripts[1].insert(scripts[1].find("initial", 0), Do(call))
        with many.sources(relay.address, moves[1:], one_host=True):
            moves[1].arrived()
        assert "refused a second multifd 7 in a migration under way" in relay.seen.notes[0]
        held.set()
        moves[0].arrived()
