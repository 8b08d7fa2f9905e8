"""Which multifd channels a migration has."""

from __future__ import annotations

from typing import Final

from ramferry.errors import MigrationFailed, RemoteProtocolError
from ramferry.vocabulary import MAX_CHANNELS
from ramferry.wire.packets import Initial

NO_CHANNEL: Final = (
    "the source opened no multifd channel: set the multifd capability on both QEMUs (`virsh migrate"
    " --parallel --parallel-connections N`) and migrate again, or put a second Ramferry before the "
    "destination: nothing but that, at relay:, can take such a stream compressed"
)
"""What is said of a plain stream where nobody is at the far end who could take it."""


class Roster:
    """Admits channels by their initial packets: all of one guest, each id once and in range."""

    def __init__(self, wanted: int | None) -> None:
        self.wanted = wanted
        """The source's multifd-channels; 0: it has no multifd; None: not known."""
        self.ids: set[int] = set()
        self.uuid = b""
        """The UUID in the channels' initial packets, the same in all; empty before the first."""

    def admit(self, initial: Initial) -> None:
        """Take in one more channel.

        :raise RemoteProtocolError: it cannot belong to this migration.
        """
        limit = MAX_CHANNELS if self.wanted is None else self.wanted
        try:
            if initial.channel_id >= limit:
                raise RemoteProtocolError(f"a channel id below {limit}", f"id {initial.channel_id}")
            if initial.channel_id in self.ids:
                raise RemoteProtocolError("each channel id once", "this one twice")
            if self.ids and initial.uuid != self.uuid:
                raise RemoteProtocolError(
                    f"UUID {self.uuid.hex()} as on the other channels", initial.uuid.hex()
                )
        except RemoteProtocolError as error:
            raise error.at(initial.name) from None
        self.ids.add(initial.channel_id)
        self.uuid = initial.uuid

    def may_lack(self, initial: Initial) -> bool:
        """True if a channel that comes late may belong to this migration."""
        known = self.wanted is not None or initial.channel_id in self.ids
        return not known and initial.uuid == self.uuid

    def full(self) -> bool:
        """False if the number of channels is known, and not all have come."""
        return self.wanted is None or len(self.ids) >= self.wanted

    def close(self) -> None:
        """Called when no more channels will come.

        :raise MigrationFailed: there are none, or one is missing.
        """
        if not self.ids and self.wanted != 0:
            raise MigrationFailed(NO_CHANNEL)
        missing = sorted(set(range(max(self.ids, default=0))) - self.ids)
        if missing:
            raise MigrationFailed(f"multifd channels {missing} never came, though later ones did")
