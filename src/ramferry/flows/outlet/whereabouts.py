"""Where a migration goes if its destination's address names the guest.

A source's main comes before its channels, and only they tell the guest's UUID; but a source
connects its channels before it waits for anything on main. So main's onward connection waits for
the first channel.
"""

from __future__ import annotations

import threading
from typing import Final
from uuid import UUID

from ramferry.errors import MigrationFailed
from ramferry.flows.session.session import Session
from ramferry.patience import Patience
from ramferry.transport.address import Address
from ramferry.transport.naming import UUID_FIELD, address_of, names_guest

_LOOK: Final = 0.25
_FIRST_CHANNEL: Final = 10.0
"""Seconds within which the first channel has to come; a source connects it at once."""


class Whereabouts:
    """The address of one migration's destination."""

    def __init__(self, session: Session, address: Address) -> None:
        """:param address: may name the guest."""
        self._session = session
        self._named = address
        self._known = threading.Event()
        self.address = address
        """The destination's address; as it was given, before the guest is known."""
        if not names_guest(address):
            self._known.set()

    def guest(self, uuid: bytes) -> None:
        """The guest has this UUID, 16 bytes; called for every channel, in any thread."""
        if not self._known.is_set():
            self.address = address_of(self._named, uuid)
            self._known.set()

    def find(self) -> None:
        """Wait until the address is known.

        :raise MigrationFailed: it cannot be known.
        :raise Unwind: the migration has failed.
        """
        patience = Patience(_FIRST_CHANNEL)
        while not self._known.is_set():
            if self._session.plain.chosen:
                raise self._unknown("a plain stream has none")
            if patience.over:
                raise self._unknown(f"none came within {_FIRST_CHANNEL:.0f} s")
            self._known.wait(_LOOK)
            self._session.check()
        self._session.check()

    def _unknown(self, why: str) -> MigrationFailed:
        return MigrationFailed(
            f"{self._named} names the guest by {UUID_FIELD}, which multifd channels tell, and "
            f"{why}: set the multifd capability on both QEMUs, or give this guest a relay of "
            "its own"
        )


def without_uuid(address: Address, uuid: bytes) -> bool:
    """Whether an address names guests, and this one has no UUID."""
    return names_guest(address) and not UUID(bytes=uuid).int
