"""One end of a domain's migration: its daemon, which may be lost and found again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Final, Self, TypeVar

from ramferry.control.libvirt.bounded import within
from ramferry.control.libvirt.contract import Connection
from ramferry.control.libvirt.opening import connect
from ramferry.control.libvirt.places import ABSENT
from ramferry.errors import PeerTimeout, RamferryError, UsageError
from ramferry.patience import Patience

CONNECT_SECONDS: Final = 60.0
"""How long a first connection may take: an ssh asks for a password perhaps."""
AGAIN_SECONDS: Final = 5.0
"""How long a lost connection may take to be made again."""
LONGEST_LOOK: Final = 20.0
"""Seconds that one look may take, where a daemon does not answer."""
SETTLE_POLL: Final = 0.1

_Answer = TypeVar("_Answer")


class DomainEnd:
    """The source or the destination of a domain's migration; a context manager that disconnects."""

    def __init__(self, uri: str, name: str, open_at: Callable[[str], Connection] = connect) -> None:
        """Connect.

        :param uri: the daemon's.
        :param name: the domain's.
        :raise PeerUnreachable: there is no way to the daemon.
        :raise HostError: this host cannot speak to any.
        """
        self.uri, self.name = uri, name
        self._open_at = open_at
        self.connection = within(CONNECT_SECONDS, lambda: open_at(uri), self._who)

    @property
    def _who(self) -> str:
        return f"the libvirt at {self.uri}"

    def ask(self, question: Callable[[Connection], _Answer]) -> _Answer:
        """Ask the daemon.

        :raise PeerTimeout: it does not answer in time.
        """
        connection = self.connection
        return within(connection.answers_within, lambda: question(connection), self._who)

    def look(self) -> str | None:
        """The domain's state, over a new connection if the old one was lost; ``ABSENT`` if the
        daemon has no such domain, None if it does not answer."""
        try:
            if not self.connection.alive:
                lost, uri = self.connection, self.uri
                self.connection = within(AGAIN_SECONDS, lambda: self._open_at(uri), self._who)
                within(AGAIN_SECONDS, lost.close, self._who)
            return self.ask(lambda connection: connection.state(self.name))
        except UsageError:
            return ABSENT
        except RamferryError:
            return None

    def settle(
        self, done: Collection[str | None], seconds: float, insist: threading.Event
    ) -> str | None:
        """Repeat ``look`` until it is one of ``done``, ``seconds`` are over, or ``insist`` is
        set."""
        patience = Patience(seconds, longest_step=LONGEST_LOOK)
        while (state := self.look()) not in done and not patience.over and not insist.is_set():
            time.sleep(SETTLE_POLL)
        return state

    def close(self) -> None:
        """Disconnect; a daemon that does not answer is left alone."""
        try:
            within(AGAIN_SECONDS, self.connection.close, self._who)
        except PeerTimeout:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
