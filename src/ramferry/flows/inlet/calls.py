"""Whose a connection is: by the order in which connections came, and by who made them.

A source connects its main channel before any multifd channel (QEMU 7.2 to 11.1, a relay, and
Ramferry's own sender do), and a listener hands connections out in the order in which their
handshakes ended. So a channel that was accepted after a main may be that main's, and one that was
accepted before it is left over from an earlier migration. There is one exception: over TCP the
last packet of main's handshake may be lost, and main, which a QEMU from 8.0 on leaves silent until
its channels are connected, is then accepted behind them.

Whether a peer that closed its connection can be seen to have done so depends on the window: its
FIN travels behind its data. A channel that came before its main has sent an initial packet and at
most a SYNC; where no more than that is unread, the window is open and a FIN would be here. One
with more unread has sent pages, which its source does after main's first bytes: such a channel is
left over unless its last bytes came after main's first (the kernel knows when).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

QUIET: Final = 16 * 1024
"""Bytes that a channel without a main may have unread: a SYNC has 4416 at most, and a receive
window begins with 64 KiB (Linux)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A connection that was accepted."""

    number: int
    """How many were accepted before it."""
    origin: str
    """Its host, or the process behind a UNIX socket; a forwarder's, where there is one."""


def may_follow(call: Call, main: Call, silent: Iterable[Call]) -> bool:
    """Whether a channel may be of ``main``'s migration, by their order.

    :param silent: connections that may become a main, too.
    """
    if call.number < main.number:
        return False
    # with forwarders on the way, a migration's connections may have different origins
    return call.origin == main.origin or mother(call, silent) is None


def mother(call: Call, silent: Iterable[Call]) -> Call | None:
    """The silent connection whose channel this seems to be: the last one that its maker made
    before it; None if there is none."""
    before = [one for one in silent if one.number < call.number and one.origin == call.origin]
    return max(before, key=lambda one: one.number, default=None)


_T = TypeVar("_T")


def one_too_many(
    waiting: Iterable[_T], call_of: Callable[[_T], Call], of_one: int, in_all: int, new: Call
) -> _T | None:
    """Who has to leave before ``new`` may come in; None if there is room for it.

    :param of_one: connections that one origin may have.
    :param in_all: connections of everybody; above it the oldest of whoever has most leaves, so
        that a crowd keeps out itself and nobody else.
    """
    by_origin: dict[str, list[_T]] = {}
    for one in sorted(waiting, key=lambda one: call_of(one).number):
        by_origin.setdefault(call_of(one).origin, []).append(one)
    own = by_origin.get(new.origin, [])
    if len(own) >= of_one:
        return own[0]
    if sum(map(len, by_origin.values())) >= in_all:
        return max(by_origin.values(), key=len)[0]
    return None
