"""Whether a destination has taken what was sent to it."""

from __future__ import annotations

import time
from typing import Final

from ramferry.errors import MigrationFailed, PeerTimeout
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.outlet.refused import unless_main_tells
from ramferry.patience import Patience
from ramferry.transport.connection import Connection

_DRAIN_POLL: Final = (0.0001, 0.001)
"""First and longest pause, in seconds, between two looks at whether a socket's queue is empty: no
event tells that."""
_ACKNOWLEDGE: Final = 0.25
"""Seconds within which a TCP peer acknowledges what it has; it may delay that by up to 0.2."""


def until_consumed(outlet: Outlet) -> None:
    """Wait until the far side has taken everything that was sent on the multifd channels.

    Called while all channels are held, so that nothing is added meanwhile.

    :raise MigrationFailed: a channel closed, so it cannot be known whether its bytes were taken.
    :raise PeerTimeout: the far side takes nothing for the stall limit.
    """
    for connection in outlet.channels:
        try:
            _until_consumed(outlet, connection, "a channel")
        except OSError:
            broken = MigrationFailed("a multifd channel broke at the destination")
            raise unless_main_tells(outlet.session, broken) from None


def until_main_is_taken(outlet: Outlet) -> None:
    """The same for main, which nobody else sends on.

    :raise MigrationFailed: main broke.
    :raise PeerTimeout: the far side takes nothing for the stall limit.
    """
    assert outlet.main is not None
    try:
        _until_consumed(outlet, outlet.main, "main")
    except OSError:
        outlet.session.check()
        raise MigrationFailed("main: the destination broke the connection") from None


def _until_consumed(outlet: Outlet, connection: Connection, what: str) -> None:
    """:param what: the connection, for the error."""
    pause, left = _DRAIN_POLL[0], -1
    silence = Patience(outlet.settings.stall_timeout, clock=time.monotonic)
    while (left_now := connection.unsent()) > 0:
        outlet.session.check()
        if left_now != left:
            left = left_now
            silence.restart()
        elif silence.over:
            raise PeerTimeout(f"the destination leaves {left} bytes of {what} untaken")
        time.sleep(pause)
        pause = min(pause * 2, _DRAIN_POLL[1])
    if connection.hung_up():
        raise ConnectionResetError


def taken_on_main(outlet: Outlet) -> bool:
    """True if the destination has, or cannot be kept from getting, everything that was sent on
    main.

    Waits a moment, because a TCP peer may acknowledge late.
    """
    main = outlet.main
    if main is None or not main.windowed:
        return True
    patience = Patience(_ACKNOWLEDGE)
    while main.unsent():
        if patience.over:
            return False
        time.sleep(_DRAIN_POLL[1])
    return True
