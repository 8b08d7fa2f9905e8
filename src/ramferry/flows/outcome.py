"""How a relayed or received migration ended, as records and as errors."""

from __future__ import annotations

from typing import Final

from ramferry.errors import Cancelled, PeerTimeout, RamferryError
from ramferry.flows.session.account import method_in, outcome_of, snapshot, uuid_of
from ramferry.flows.session.footprint import Footprint, peak_resident
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import ReceiveResult, RelayResult


def relay_result(
    session: Session, settings: RelaySettings, channels: int, footprint: Footprint
) -> RelayResult:
    """A relay's result for a migration that has ended; ``channels`` is its number of multifd
    channels."""
    error = session.error
    return RelayResult(
        completed=session.phase is Phase.CONFIRMED,
        error=str(error) if error else "",
        exit_code=error.exit_code if error else 0,
        method_in=method_in(session),
        method_out=settings.method,
        level=settings.level,
        backend=session.engines.backend,
        channels=channels,
        gated=session.gate.gated,
        max_rss_bytes=peak_resident(),
        max_pss_bytes=footprint.proportional,
        member_size=session.engines.member_size,
        agreed_in=session.agreed_in,
        agreed_out=session.agreed_out,
        uuid=uuid_of(session),
        source=session.source,
        kind=session.plain.kind,
        streams=session.plain.streams,
        migration=session.tally.migration,
        outcome=outcome_of(session),
        downtime_seconds=session.tally.switchover.seconds,
        counters=snapshot(session),
        choosing=session.tally.chosen.result() if session.tally.chosen else None,
    )


def receive_result(session: Session, machine: str, channels: int) -> ReceiveResult:
    """A receiver's result; ``machine`` is the machine type's versioned name."""
    error = session.error
    return ReceiveResult(
        completed=error is None,
        error=str(error) if error else "",
        exit_code=error.exit_code if error else 0,
        machine=machine,
        method=session.method_in,
        backend=session.engines.backend,
        channels=channels,
        counters=snapshot(session),
    )


STAYS: Final = "; the guest stays at the source"
"""With this ends the sentence of a relay that was cancelled before the switchover. Who has asked
the source itself leaves it out."""


def cancelled(session: Session, reason: str) -> RamferryError:
    """The error of a migration that this process is told to end, with where the guest is as far as
    a relay knows: before ram's END the destination cannot start it. Whether the guest runs, a relay
    does not see.

    In the switchover nothing is cancelled by that, but left undecided, and the exit code is that of
    an answer that did not come.
    """
    if session.plain.blind:
        return Cancelled(f"cancelled: {reason}")
    if session.phase != Phase.SWITCHOVER:
        return Cancelled(f"cancelled: {reason}{STAYS}")
    undecided = f"ended in the switchover, before the destination had answered: {reason}"
    if session.holds:  # who holds the source is told, and what to do, by whoever knows it
        return PeerTimeout(undecided)
    return PeerTimeout(f"{undecided}; see with `info status` which QEMU runs the guest")
