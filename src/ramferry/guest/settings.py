"""What a built-in guest is made of."""

from __future__ import annotations

from dataclasses import dataclass

from ramferry.guest.workload import Workload
from ramferry.transport.security import IN_THIS_HOST, Security
from ramferry.vocabulary import AUTO, DECIDE_SECONDS, Wanted


@dataclass(frozen=True, slots=True)
class GuestSettings:
    """What a guest is made of."""

    memory: int
    """Bytes of RAM."""
    workload: Workload
    tracker: Wanted = "auto"
    accelerator: str = AUTO
    member_size: str = AUTO
    """One of ``vocabulary.MEMBER_SIZES``, for its outgoing migrations."""
    decide: float = DECIDE_SECONDS
    """Seconds that a far end that is a Ramferry is asked how a switchover ended, and that the
    outcome is kept for it."""
    security: Security = IN_THIS_HOST
    """Credentials for its migrations both ways, and what is allowed without them; its monitor's
    too."""
