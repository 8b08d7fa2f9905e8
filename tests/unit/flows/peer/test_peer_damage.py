"""One thing between two relays changes on its way: it is seen, said, and nothing comes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes_meddler import HEADER_SIZE, Change, Meddler, double, drop, flip
from fakes_relay import NOTICE, until
from fakes_source import SETTLE, STALL
from fakes_two_relays import Pair, pair, peer_stage, place_of
from fakes_wire import Do, Guest, Script
from fault_blows import Way
from ramferry.transport.address import UnixAddress

LINK = "the link between the hosts is to be suspected"
GUEST = Guest(method="zlib", device_state=3000, zeros=1)


@dataclass(frozen=True)
class Damage:
    """What is changed, and what the relay beside the source says then."""

    line: str
    what: str
    change: Change
    says: tuple[str, ...]
    nth: int = 0
    late: bool = False
    """Whether it is seen in the switchover only, in time all the same."""


CASES = {
    "initial packet": Damage("multifd 1", "initial", flip(9), ("header as sent", LINK)),
    "header": Damage(
        "multifd 0", "packet", flip(330), ("multifd 0 packet", "header as sent", LINK), 1
    ),
    "its digests": Damage(
        "multifd 0", "packet", flip(37), ("multifd 0 packet", "header as sent", LINK), 1
    ),
    "its flags": Damage("multifd 0", "packet", flip(11), ("multifd 0 packet", LINK), 1),
    "payload": Damage(
        "multifd 1",
        "packet",
        flip(HEADER_SIZE + 9),
        ("multifd 1 packet", "payload of pages of block 'pc.ram' as sent", LINK),
        2,
    ),
    "a packet's last byte": Damage(
        "multifd 1",
        "packet",
        flip(-1),
        ("multifd 1 packet", "payload of pages of block 'pc.ram' as sent", LINK),
        2,
    ),
    "SYNC": Damage("multifd 0", "sync", flip(40), ("multifd 0 packet", "header as sent", LINK), 2),
    "device state": Damage(
        "multifd 1",
        "device",
        flip(2000),
        ("multifd 1 packet", "device state as sent", LINK),
        late=True,
    ),
    "lost packet": Damage(
        "multifd 0", "packet", drop, ("multifd 0 packet", "header as sent", LINK), 2
    ),
    "doubled packet": Damage(
        "multifd 0", "packet", double, ("multifd 0 packet", "header as sent", LINK), 2
    ),
    "lost SYNC": Damage("multifd 1", "sync", drop, ("multifd 1 packet", "header as sent", LINK), 1),
    "doubled SYNC": Damage(
        "multifd 1", "sync", double, ("multifd 1 packet", "header as sent", LINK), 1
    ),
    "main's frame": Damage("main", "data", flip(-1), ("main: ", "as it was sent", LINK), 5),
    "main's frame's length": Damage("main", "data", flip(0), ("main: ", "as it was sent", LINK), 5),
    "main's frame's kind": Damage("main", "data", flip(7), ("main: ", "as it was sent", LINK), 5),
    "main's frame's digest": Damage("main", "data", flip(9), ("main: ", "as it was sent", LINK), 5),
    "lost frame": Damage("main", "data", drop, ("main: ", "as it was sent", LINK), 3),
    "doubled frame": Damage("main", "data", double, ("main: ", "as it was sent", LINK), 3),
    "mark": Damage("main", "mark", flip(-3), ("main: ", "as it was sent", LINK), 1),
    "lost mark": Damage("main", "mark", drop, ("main: ", "as it was sent", LINK), 1),
}
"""Both relays know the migration by then."""

EARLY = {
    "control's opening": (Damage("control", "opening", flip(1), ("without a hello",)), 3),
    "the version in it": (Damage("control", "opening", flip(5), ("without a hello",)), 3),
    "hello": (Damage("control", "hello", flip(40), ("it refuses: ", "hello", LINK)), 3),
    "hello's length": (Damage("control", "hello", flip(1), ("it refuses: ", "hello")), 3),
    "main's opening": (Damage("main", "opening", flip(12), ()), 5),
    "main's first frame": (
        Damage("main", "data", flip(-1), ("main: ", "frame 0 as it was sent", LINK)),
        7,
    ),
    "main's first head": (
        Damage("main", "data", flip(0), ("main: ", "frame 0 as it was sent", LINK)),
        7,
    ),
}
"""The destination hears nothing of these; with the exit code."""

BACK = {
    "far opening": (Damage("control", "opening", flip(1), ("it is no Ramferry, but bytes",)), 3),
    "far hello": (Damage("control", "hello", flip(40), ("it says hello otherwise", LINK)), 3),
    "answer": (
        Damage("main", "data", flip(-1), ("return path: ", "frame 0 as it was sent", LINK)),
        7,
    ),
    "answer's head": (
        Damage("main", "data", flip(0), ("return path: ", "frame 0 as it was sent", LINK)),
        7,
    ),
    "lost answer": (
        Damage("main", "data", drop, ("return path: ", "frame 0 as it was sent", LINK)),
        7,
    ),
}
"""What the relay beside the source sees itself."""


@contextlib.contextmanager
def meddled(folder: Path, case: Damage, way: Way = "forward", **settings: object) -> Iterator[Pair]:
    """A pair with a meddler between, who does a case's damage once."""
    link = UnixAddress(str(folder / "link"))
    with pair(peer_stage(folder, **settings), "zlib", through=link) as two:
        meddler = Meddler(
            link, place_of(two.far), case.line, case.what, case.change, nth=case.nth, way=way
        )
        with contextlib.closing(meddler):
            yield two


@pytest.mark.parametrize("name", CASES)
def test_the_source_hears_what_the_far_end_saw(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    with meddled(tmp_path, case) as two:
        near, far = two.fail(Script(GUEST), late=case.late)
        for words in case.says:
            assert words in near.error
            assert words in far.error
        assert near.exit_code == far.exit_code == 7
        two.carry(Script(Guest(seed=2)), 2)


def wait_before_end(script: Script, two: Pair, nth: int) -> Script:
    """Have the source's last round wait until its relay has seen the end."""
    return script.insert(script.find("end"), Do(lambda: two.near.finished(nth)))


@pytest.mark.parametrize("name", EARLY)
def test_what_comes_damaged_before_the_migration_is_known_there_fails_it(
    tmp_path: Path, name: str
) -> None:
    case, code = EARLY[name]
    with meddled(tmp_path, case) as two:
        script = Script(GUEST)
        with two.stage.destination(script.guest) as destination, two.stage.source(two.near, script):
            near = two.near.finished()
            assert destination.connections == 0
        for words in case.says:
            assert words in near.error
        assert near.exit_code == code
        assert two.far.seen.results == []
        assert two.far.seen.notes
        two.stage.carry(two.near, Script(Guest(seed=2)), 2)


@pytest.mark.parametrize("name", BACK)
def test_what_comes_back_damaged_fails_the_migration(tmp_path: Path, name: str) -> None:
    case, code = BACK[name]
    with meddled(tmp_path, case, "back") as two:
        script = wait_before_end(Script(GUEST), two, 1)
        with (
            two.stage.destination(script.guest) as destination,
            two.stage.source(two.near, script) as source,
        ):
            near = two.near.finished()
            assert source.done.wait(SETTLE)
            assert source.status == "failed"
            until(destination.all_ended, NOTICE)
            assert not destination.complete
        for words in case.says:
            assert words in near.error
        assert near.exit_code == code
        assert not any(far.completed for far in two.far.seen.results)
        two.stage.carry(two.near, Script(Guest(seed=2)), 2)


@pytest.mark.parametrize("what", ["data", "packet"])
def test_a_size_that_grew_on_its_way_ends_in_time(tmp_path: Path, what: str) -> None:
    """Of a frame the digest is known only once all of it is here; a header's is checked first."""
    line, at = ("main", 2) if what == "data" else ("multifd 0", 22)
    with meddled(tmp_path, Damage(line, what, flip(at), (), 5), stall_timeout=STALL) as two:
        near, far = two.fail(Script(GUEST))
        assert near.exit_code == far.exit_code in (7, 9)
        assert far.error in near.error
        two.carry(Script(Guest(seed=2)), 2)
