"""Which error of a failure is told as its cause: the first, unless a later one says why."""

from __future__ import annotations

from ramferry.errors import MigrationFailed, RamferryError, RemoteProtocolError


class Causes:
    """What is known of why a migration fails, beside the error with which it does."""

    damage: RemoteProtocolError | None = None
    """What was wrong, in the switchover, with what another Ramferry sent."""
    broken: RamferryError | None = None
    """What broke first, while main's own word on it is waited for: the migration fails, and nothing
    may be switched over; only the sentence is open."""
    word: RamferryError | None = None
    """Main's own word, where it says why the destination ends every connection."""
    answered = False
    """Whether a whole message has come on the return path: main has begun to be taken."""

    def told(self, error: RamferryError) -> RamferryError:
        """The error to be told by a migration that fails with ``error``."""
        if self.damage is not None and isinstance(error, MigrationFailed):
            return self.damage.reworded(f"{self.damage}; {error}")
        if self.broken is not None and error is not self.word:
            return self.broken
        return error
