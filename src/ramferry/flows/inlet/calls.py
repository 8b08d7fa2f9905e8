"""Which migration a connection belongs to, by the order of connections and by who made them.

A source connects its main channel before any multifd channel (QEMU 7.2 to 11.1, a relay, and
Ramferry's own sender do), and a listener hands connections out in the order in which their
handshakes ended. So a channel that was accepted after a main may belong to it, and one that was
accepted before it is left over from an earlier migration. There is one exception. Over TCP the last
packet of main's handshake may be lost; from QEMU 8.0 on main is silent until its channels are
connected, and so it may be accepted after them.

Whether a peer that closed its connection can be seen to have done so depends on the window: its FIN
travels behind its data. A channel that came before its main has sent an initial packet and at most
a SYNC; if no more than that is unread, the window is open and a FIN would be here. If more is
unread, the channel has sent pages, which its source does only after main's first bytes: so it is
left over unless its last bytes came after main's first (the kernel knows when).

Where several migrations may be under way, a channel belongs to the one main that may be its own:
that of its origin, and of its guest's UUID as soon as one channel of that main is known. If two
mains come from one origin before the first channel, their channels are told apart only once main
waits for them, if at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ramferry.flows.peer.visit import Visit
from ramferry.transport import crowd

QUIET: Final = 16 * 1024
"""Bytes that a channel without a main may have unread: a SYNC has 4416 at most, and a receive
window begins with 64 KiB (Linux)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A connection that was accepted."""

    number: int
    """How many were accepted before it."""
    origin: str
    """The host it comes from, or the process behind a UNIX socket; those of a forwarder if there is
    one."""
    visit: Visit | None = None
    """The migration to which its opening says that it belongs; None where a QEMU may call."""


@dataclass(eq=False, slots=True)
class Claim:
    """A main whose migration is under way, and what tells its channels from those of others."""

    call: Call
    heard: float
    """When its last bytes came, as ``Connection.heard_at`` has it."""
    uuid: bytes = b""
    """The UUID in its channels' initial packets; empty before the first is known."""
    gathered: bool = False
    """Whether all of its channels are here."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A migration that has failed just now."""

    origin: str
    """Where its main came from."""
    uuid: bytes
    """As ``Claim.uuid``."""
    accepted: int
    """How many connections had been accepted by then."""
    at: float
    """When that was, by the clock of whoever keeps it."""

    def may_own(self, call: Call, uuid: bytes, mains: Iterable[Call]) -> bool:
        """Whether a channel seems to be one of its own, which comes late.

        :param uuid: in its initial packet.
        :param mains: connections that are a main, or may become one.
        """
        if call.origin != self.origin:
            return False
        if any(uuid) and uuid == self.uuid:
            # its guest may be on its way again, by a main that came since
            mains = [one for one in mains if one.number >= self.accepted]
        return not list(mains)


def claimants(
    call: Call, uuid: bytes | None, claims: Iterable[Claim], silent: Sequence[Call]
) -> list[Claim | Call]:
    """The mains, among several migrations, to which a channel may belong.

    :param uuid: in its initial packet; None if that is not known.
    :param claims: the mains of migrations under way.
    :param silent: connections that may become a main as well.
    """
    if call.visit is not None:
        return [one for one in claims if one.call.visit is call.visit]
    before: list[Claim | Call] = [
        one for one in claims if not one.gathered and one.call.number < call.number
    ]
    before += [one for one in silent if one.number < call.number]
    # with forwarders on the way, a migration's connections may have different origins
    pool = [one for one in before if _call_of(one).origin == call.origin] or before
    mine = [one for one in pool if isinstance(one, Claim) and one.uuid == uuid]
    if mine and uuid is not None and any(uuid):
        return [*mine]
    return [
        one for one in pool if isinstance(one, Call) or not one.uuid or uuid in (None, one.uuid)
    ]


def _call_of(main: Claim | Call) -> Call:
    return main if isinstance(main, Call) else main.call


def may_follow(call: Call, main: Call, silent: Iterable[Call]) -> bool:
    """Whether a channel may belong to ``main``'s migration, by their order.

    :param silent: connections that may become a main as well.
    """
    if main.visit is not None:
        return call.visit is main.visit
    if call.number < main.number:
        return False
    # with forwarders on the way, a migration's connections may have different origins
    return call.origin == main.origin or mother(call, silent) is None


def mother(call: Call, silent: Iterable[Call]) -> Call | None:
    """The silent connection that seems to be this channel's main: the last one that came before it
    from the same origin; None if there is none."""
    before = [one for one in silent if one.number < call.number and one.origin == call.origin]
    return max(before, key=lambda one: one.number, default=None)


_T = TypeVar("_T")


def one_too_many(
    waiting: Iterable[_T], call_of: Callable[[_T], Call], of_one: int, in_all: int, new: Call
) -> _T | None:
    """Which of the waiting connections has to be closed to make room for ``new``; see
    ``transport.crowd``."""
    return crowd.one_too_many(
        sorted(waiting, key=lambda one: call_of(one).number),
        lambda one: call_of(one).origin,
        of_one,
        in_all,
        new.origin,
    )
