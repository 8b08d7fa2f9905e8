"""A packet's way through a relay, followed call by call: short, and through few rooms.

The figures are the guard: a packet costs microseconds of Python, and a reader has to follow it.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest

import ramferry
from fakes_pair import pair
from fakes_relay import RelayThread, Stage
from fakes_wire import Guest, Script

HOUSE = str(Path(ramferry.__file__).parent)
PACKETS = 30


@dataclass(frozen=True)
class Way:
    """The calls between one packet's header and the next one's."""

    calls: list[tuple[str, str]]
    """File and function of each."""

    @property
    def files(self) -> set[str]:
        return {file for file, _ in self.calls}

    @property
    def moves(self) -> int:
        """Calls of another file than the call before; after the last comes the first again."""
        after = self.calls[1:] + self.calls[:1]
        return sum(one[0] != other[0] for one, other in zip(self.calls, after, strict=True))

    def __str__(self) -> str:
        return "\n".join(f"{file} {name}" for file, name in self.calls)


class Follower:
    """Notes every call of Ramferry's own functions, by thread."""

    def __init__(self) -> None:
        self._calls: dict[int, list[tuple[str, str]]] = defaultdict(list)

    def note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(HOUSE):
            file = frame.f_code.co_filename[len(HOUSE) + 1 :]
            self._calls[threading.get_ident()].append((file, frame.f_code.co_name))

    def ways(self) -> list[Way]:
        """Of a packet in the middle, in the thread of each relay's channel."""
        threads = self._calls.values()
        return [self._middle(one) for one in threads if ("flows/inlet/channel.py", "run") in one]

    def _middle(self, calls: list[tuple[str, str]]) -> Way:
        header = ("wire/multifd.py", "_ram")
        starts = [at for at, call in enumerate(calls) if call == header]
        assert len(starts) > PACKETS
        middle = starts[PACKETS // 2 : PACKETS // 2 + 2]
        return Way(calls[middle[0] : middle[1]])


@contextlib.contextmanager
def following() -> Iterator[Follower]:
    """Follows the threads that begin meanwhile."""
    follower = Follower()
    before = threading.getprofile()
    threading.setprofile(follower.note)
    try:
        yield follower
    finally:
        threading.setprofile(before)  # type: ignore[arg-type]
    assert sys.getprofile() is None


def many_packets(method: str) -> Script:
    """A migration of one channel."""
    return Script(Guest(method=method, channels=1, rounds=1, packets=PACKETS, pages=8))


def followed(folder: Path, method_in: str, method_out: str) -> Way:
    """The way through a relay."""
    stage = Stage(folder, method=method_out)
    with following() as follower, RelayThread(stage.settings) as relay:
        stage.carry(relay, many_packets(method_in))
    (way,) = follower.ways()
    return way


@pytest.mark.parametrize(
    ("method_in", "method_out", "calls", "files", "moves"),
    [
        ("none", "zstd", 22, 6, 12),
        ("zstd", "none", 31, 10, 20),
        ("zlib", "zlib", 25, 8, 15),
    ],
)
def test_a_packets_way_stays_short(
    tmp_path: Path, method_in: str, method_out: str, calls: int, files: int, moves: int
) -> None:
    way = followed(tmp_path, method_in, method_out)
    assert len(way.calls) <= calls, way
    assert len(way.files) <= files, way
    assert way.moves <= moves, way


@pytest.mark.parametrize(
    ("between", "near", "far"),
    [("zstd", (27, 8, 15), (43, 12, 29)), ("none", (24, 7, 13), (28, 7, 18))],
)
def test_with_digests_a_packets_way_is_little_longer(
    tmp_path: Path, between: str, near: tuple[int, ...], far: tuple[int, ...]
) -> None:
    """Through two relays: the one that makes digests, and the one that checks them."""
    with following() as follower, pair(tmp_path, between) as both:
        both.stage.carry(both.near, many_packets("none"))
    checks = ("flows/inlet/channel.py", "_check_header")
    ways = {checks in way.calls: way for way in follower.ways()}
    assert ("wire/digests.py", "seal") in ways[False].calls
    for way, most in ((ways[False], near), (ways[True], far)):
        found = len(way.calls), len(way.files), way.moves
        assert all(one <= limit for one, limit in zip(found, most, strict=True)), f"{found}\n{way}"
