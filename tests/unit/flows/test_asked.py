"""The far end's word that comes while this relay is ending a switchover."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ramferry.errors import PeerTimeout
from ramferry.flows.outlet.answer import HELD_IS_TOLD
from ramferry.flows.outlet.asked import AskedAnswer
from ramferry.flows.session.session import Phase, Session
from ramferry.wire.relay_messages import Outcome


class Source:
    """A connection that keeps what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def hung_up(self) -> bool:
        return False

    def send(self, parts: list[bytes]) -> int:
        self.done.append("SHUT")
        return sum(map(len, parts))

    def reset(self) -> None:
        self.done.append("reset")


def test_a_source_that_is_held_is_told_before_its_connections_may_end() -> None:
    """Else it would be reset, and go on with a guest that runs at the destination."""
    notes: list[str] = []
    settings: Any = SimpleNamespace(page_size=4096)
    session, source = Session(settings, notes.append), Source()
    session.behind = SimpleNamespace(  # type: ignore[assignment]
        unblock=lambda: None, tear_down=lambda: None, connections=list
    )
    session.sources.append(source)  # type: ignore[arg-type]
    session.holds = True
    session.advance(Phase.SWITCHOVER)
    session.fail(PeerTimeout("ended in the switchover"), final=True)
    ends: Any = (source, None, None)
    # between the far end's word and what the source is told, another thread ends the migration
    answer = AskedAnswer(session, *ends, lambda: False, session.tear_down)
    answer._decided(Outcome("taken"))
    assert source.done == ["SHUT"]
    assert HELD_IS_TOLD in notes[0]
    session.tear_down()
    assert source.done == ["SHUT"]
