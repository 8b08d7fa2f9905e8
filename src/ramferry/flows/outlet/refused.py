"""Why a destination may have ended a connection, and who says it best."""

from __future__ import annotations

from typing import Final, TypeVar

from ramferry.errors import MigrationFailed, RamferryError
from ramferry.flows.session.session import Phase, Session
from ramferry.patience import Patience

_FIRST_PACKETS: Final = 16
"""Most packets that a channel may have sent until a QEMU that cannot read them has ended it."""
WORD: Final = 0.3
"""Seconds that main's own word is waited for, where something broke before that has come. A port
that expects TLS ends every connection by itself, in any order, and says why on each: on main that
comes within a round trip, which takes 0.2 s around the world, of the first reset."""
_STEP: Final = 0.05
"""Seconds between two looks meanwhile."""

_Error = TypeVar("_Error", bound=RamferryError)


def lost(session: Session, method: str, name: str, how: str, *, far: bool) -> MigrationFailed:
    """The error of a multifd channel that the destination ended: how it did, and what may be the
    reason. A QEMU ends one at the first packet of a method that it was not told of.

    :param far: whether the destination is a Ramferry, which knows every method.
    """
    said = f"{name}: the destination {how}"
    begun = max((one.packets for one in session.tally.channels), default=0)
    if not far and session.gate.passed <= 1 and 0 < begun <= _FIRST_PACKETS:
        said += (
            f" at the first packets: if its multifd-compression is not {method}, set it to"
            " that, or give this relay --method as it has it (libvirt's --comp-methods)"
        )
    return MigrationFailed(said)


def in_doubt(session: Session, error: RamferryError) -> bool:
    """Whether main may say more than ``error`` of why the destination ended a connection: not one
    whole message has come on it yet. A destination that is a QEMU answers the first PING; of one
    that answers nothing, the kernel may have taken many packets and marks before it ends them.
    ``error`` is noted then: from now on the migration fails, though with the sentence of who says
    more.

    Another Ramferry says why on its control connection.
    """
    doubt = (
        isinstance(error, MigrationFailed)
        and session.agreed_out is None
        and session.sighted
        and session.phase < Phase.SWITCHOVER
        and not session.causes.answered
    )
    if doubt:
        session.causes.broken = session.causes.broken or error
    return doubt


def unless_main_tells(session: Session, error: _Error) -> _Error:
    """The error of a connection that the destination ended, to be raised; if main may say why, that
    is waited for first, ``WORD`` seconds at most, or until main has ended.

    :raise Unwind: the migration has failed, for what main said or for another cause.
    """
    if in_doubt(session, error):
        patience = Patience(WORD, longest_step=2 * _STEP)
        while not patience.over and not session.over.wait(_STEP):
            continue
    session.check()
    return error
