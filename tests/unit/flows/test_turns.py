"""The order in which streams that say nothing go onward: the turns, and through relays."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fakes_plain import End, PlainPair, plain_pair
from fakes_relay import RelayThread, until
from fakes_source import SETTLE, dial
from peer_meddler import Flip
from ramferry.flows.outlet import outlet
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.turns import Turn, Turns
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import RelayAddress, UnixAddress

MANY: dict[str, object] = {"any_stream": True, "max_migrations": 8}


def no_fault() -> None:
    pass


def test_who_is_first_goes_at_once() -> None:
    Turn().wait(no_fault)
    Turns().take().wait(no_fault)


def test_each_goes_once_the_one_before_has_gone() -> None:
    turns = Turns()
    gone: list[int] = []
    order = [turns.take() for _ in range(3)]

    def go(nth: int) -> None:
        order[nth].wait(no_fault)
        gone.append(nth)

    threads = [threading.Thread(target=go, args=(nth,)) for nth in (2, 1)]
    for thread in threads:
        thread.start()
    order[0].past()
    until(lambda: gone == [1])
    order[1].past()
    until(lambda: gone == [1, 2])
    for thread in threads:
        thread.join()


def test_who_fails_while_it_waits_waits_no_more() -> None:
    turns = Turns()
    turns.take()

    def failed() -> None:
        raise Unwind

    with pytest.raises(Unwind):
        turns.take().wait(failed)


# --- through relays


@pytest.fixture
def slow_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has the first connection to the destination wait until it is called."""
    go, met, lock = threading.Event(), [], threading.Lock()
    connect = outlet.connect

    def slowly(address: object, *given: object, **more: object) -> object:
        if str(address) == f"unix:{tmp_path}/destination":
            with lock:
                first = not met
                met.append(address)
            if first:
                assert go.wait(SETTLE)
        return connect(address, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(outlet, "connect", slowly)
    return go.set


def order(near: RelayThread, pair: PlainPair, count: int, go: Callable[[], None]) -> bytes:
    """The numbers of silent streams as the destination meets them; ``go`` is called once all have
    been accepted by the relay at the source."""
    with contextlib.ExitStack() as stack:
        sources = []
        for _ in range(count):
            sources.append(End(dial(near.address)))
            stack.callback(sources[-1].close)
        until(lambda: near.relay.arrivals.accepted == count)
        go()
        arrived = [stack.enter_context(pair.destination()) for _ in sources]
        for nth, source in enumerate(sources):
            source.send(bytes([nth]))
        for destination in arrived:
            destination.has(1)
        return b"".join(bytes(one.got) for one in arrived)


def test_streams_that_say_nothing_reach_the_destination_in_their_order(tmp_path: Path) -> None:
    """As postcopy-preempt's do, which nothing else tells apart."""
    with plain_pair(tmp_path, near=MANY, **MANY) as pair:
        assert order(pair.near, pair, 8, no_fault) == bytes(range(8))


def test_so_they_do_where_the_first_connection_takes_long(
    tmp_path: Path, slow_first: Callable[[], None]
) -> None:
    with plain_pair(tmp_path, near=MANY, **MANY) as pair:

        def go() -> None:
            assert pair.never_connected()
            slow_first()

        assert order(pair.near, pair, 3, go) == bytes(range(3))


def test_so_they_do_through_a_third_relay(tmp_path: Path, slow_first: Callable[[], None]) -> None:
    """It does not take its far end for the destination."""
    with plain_pair(tmp_path, near=MANY, **MANY) as pair:
        first = UnixAddress(f"{tmp_path}/first")
        between = RelaySettings(RelayAddress(first), pair.far.address, "zstd", **MANY)  # type: ignore[arg-type]
        source = replace(
            between, listen=UnixAddress(f"{tmp_path}/source"), connect=RelayAddress(first)
        )
        with RelayThread(source) as near, RelayThread(between) as middle:

            def go() -> None:
                until(lambda: bool(middle.relay.arrivals.sessions))
                assert pair.never_connected()
                slow_first()

            assert order(near, pair, 3, go) == bytes(range(3))


def test_a_silent_stream_that_fails_lets_the_next_one_go(tmp_path: Path) -> None:
    with plain_pair(tmp_path, near=MANY, **MANY) as pair:
        pair.meddler.flip = Flip("control", 60)  # in the hello of the one that comes first
        with pair.source() as first, pair.source() as second, pair.destination() as destination:
            second.send(b"on")
            destination.has(2)
            assert first.ended.wait(SETTLE)
        assert pair.meddler.struck.is_set()
        assert pair.near.finished(1).error


def test_a_stream_whose_far_end_cannot_tell_of_it_any_more_fails(
    tmp_path: Path, slow_first: Callable[[], None]
) -> None:
    """Else what came after it could pass it."""
    with plain_pair(tmp_path, near=MANY, **MANY) as pair, pair.source() as source:
        until(lambda: bool(pair.far.relay.arrivals.sessions))
        pair.meddler.cut("control")
        assert source.ended.wait(SETTLE)
        slow_first()
        error = pair.near.finished().error
    assert "was lost before the destination had the stream's connection" in error
