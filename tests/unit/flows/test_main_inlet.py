"""A main channel coming in: what its taker is told, in which order."""

from __future__ import annotations

import errno
import socket

import pytest

from fakes_wire import OPEN_RETURN_PATH, block_list, configuration, device, header, ram_start
from ramferry.errors import MigrationFailed
from ramferry.flows.inlet.judge import RELAYED
from ramferry.flows.inlet.main import MainInlet
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.session.session import Session
from ramferry.flows.session.tally import ChannelTally
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import UnixAddress
from ramferry.transport.plain import Plain
from ramferry.wire.events import BlockList, MainEvent
from ramferry.wire.main import MainParser

START = header() + configuration() + OPEN_RETURN_PATH


class Told:
    """A taker that notes what it is told."""

    most = next_piece = 4096
    fill = complete = False

    def __init__(self, session: Session) -> None:
        self.session = session
        self.calls: list[str] = []
        self.blocks: dict[str, int] | None = None
        """What the session knew of them when the list was told."""

    def begin(self, tally: ChannelTally, parser: MainParser) -> None:
        del tally, parser
        self.calls.append("begin")

    def open_piece(self, data: memoryview, events: list[MainEvent]) -> None:
        del events
        self.calls.append(f"open {len(data)}")

    def hear(self, event: MainEvent) -> None:
        if isinstance(event, BlockList):
            self.blocks = dict(self.session.blocks)

    def close_piece(self) -> None:
        self.calls.append("close")

    def source_ended(self) -> None:
        self.calls.append("ended")

    def source_broke(self) -> None:
        self.calls.append("broke")


class Breaking(Plain):
    """A connection that breaks where its bytes end."""

    def receive_some(self, view: memoryview, *, whole: bool = False) -> int | None:
        count = super().receive_some(view, whole=whole)
        if count == 0:
            raise OSError(errno.ECONNRESET, "Connection reset by peer")
        return count


def run(kind: type[Plain], rest: bytes = b"") -> Told:
    """Take main in from a connection that ends; an error is a call, too."""
    made = RelaySettings(UnixAddress("in"), UnixAddress("out"), "none")
    session = Session(made, lambda _: None)
    session.behind = Outlet(session, made)
    taker = Told(session)
    near, far = socket.socketpair()
    with far:
        far.sendall(rest)
    source = kind(near)
    try:
        MainInlet(session, source, START, taker, RELAYED).run()
    except MigrationFailed as error:
        taker.calls.append(str(error))
    finally:
        source.close()
    return taker


def test_a_source_that_ends_main_is_told() -> None:
    assert run(Plain).calls == ["begin", f"open {len(START)}", "close", "ended"]


def test_a_source_that_breaks_main_is_told_before_it_is_an_error() -> None:
    """Behind ram's END there is something to see to."""
    *_, told, error = run(Breaking).calls
    assert told == "broke"
    assert error.startswith("main: the source broke the connection: ")


@pytest.mark.parametrize("blocks", [{"pc.ram": 1 << 20}, {"pc.ram": 4096, "rom": 8192}])
def test_a_taker_hears_of_blocks_that_the_session_knows(blocks: dict[str, int]) -> None:
    """With a mark in the same piece its channels go on at once, and check pages by them."""
    told = run(Plain, ram_start(block_list(blocks) + bytes.fromhex("0000000000000010")))
    assert told.blocks == blocks


def test_sight_that_was_lost_at_a_device_is_regained_behind_it() -> None:
    """Otherwise a slow round would have the marks let go, which are seen all the same."""
    known = ram_start(block_list({"pc.ram": 4096}) + bytes.fromhex("0000000000000010"))
    blind, sighted = run(Plain, device(1, b"odd", 60)), run(Plain, device(1, b"odd", 60) + known)
    assert (blind.session.sighted, sighted.session.sighted) == (False, True)


@pytest.mark.parametrize("fill", [False, True])
def test_pieces_are_waited_for_until_they_are_full_where_the_taker_wants_that(
    monkeypatch: pytest.MonkeyPatch, fill: bool
) -> None:
    """Each piece costs some time, and where all pages come on main they are most of the bytes."""
    asked: list[bool] = []
    receive = Plain.receive_some

    def noted(self: Plain, view: memoryview, *, whole: bool = False) -> int | None:
        asked.append(whole)
        return receive(self, view, whole=whole)

    monkeypatch.setattr(Plain, "receive_some", noted)
    monkeypatch.setattr(Told, "fill", fill)
    run(Plain)
    assert set(asked) == {fill}
