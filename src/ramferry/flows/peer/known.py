"""What is known of a switchover at the end that accepts, as the other end is told it."""

from __future__ import annotations

from ramferry.errors import MigrationFailed, PeerTimeout, RamferryError
from ramferry.flows.session.session import Session
from ramferry.wire.relay_messages import MOST_TEXT, Outcome


def known_of(session: Session) -> Outcome:
    """How the switchover of a migration that has begun has ended, as far as it is known here."""
    # before the rest: what came since is told the next time
    failed, over = session.failed, session.over.is_set()
    if session.taken:
        return Outcome("taken")
    why = str(session.error or "")[:MOST_TEXT]
    never = not session.switched and session.sighted
    if failed and (session.taken is False or never):
        return Outcome("not taken", why, _code_of(session.error))
    if failed or over:
        return Outcome("unknown", why)
    return Outcome("pending")


def _code_of(error: RamferryError | None) -> int:
    """The exit code of why the destination has not taken its guest; that of an undecided
    switchover is not meant."""
    if error is None or isinstance(error, PeerTimeout):
        return MigrationFailed.exit_code
    return error.exit_code
