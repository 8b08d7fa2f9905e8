"""Makes what chooses the methods, or the levels, of an outlet, by what its far end is able to do
and tells."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from ramferry.codec import more_with_relay
from ramferry.errors import MethodUnavailable
from ramferry.flows.choosing.chooser import Chooser, Way
from ramferry.flows.outlet.outlet_settings import OutletSettings
from ramferry.flows.peer.far import Far
from ramferry.policy.candidates import levels_of, usable
from ramferry.policy.measurements import Candidate
from ramferry.qatzip.accelerator import may_accelerate
from ramferry.vocabulary import AUTO, ONE_MEMBER
from ramferry.wire.relay_messages import Load

if TYPE_CHECKING:
    from ramferry.flows.outlet.outlet import Outlet

FRESH: Final = 5.0
"""Seconds for which counts what a far end has told of its load: it tells it twice a second."""


def chooser_for(outlet: Outlet, far: Far | None) -> Chooser:
    """Make the chooser of a migration; it is told to ``session.tally`` as well.

    :param far: the far end; None where that may be a QEMU, of which nothing is known, so that only
        the level of the one method is chosen.
    :raise MethodUnavailable: the far end takes one method a migration only.
    """
    settings = outlet.settings
    members = (
        far.agreed.member_size if far and settings.member_size == AUTO else settings.member_size
    )
    way = Way(
        _candidates(settings, far, members),
        partial(_load, far) if far is not None else None,
        connections=lambda: outlet.carriers or outlet.channels,
        member_size=members,
        accelerator=settings.accelerator,
        token=far.token if far is not None else b"",
        method="" if settings.method == AUTO else settings.method,
        cap=settings.max_bandwidth,
    )
    if far is None:
        outlet.session.note(more_with_relay(settings.method))
    chooser = Chooser(outlet.session, way)
    outlet.session.tally.chosen = chooser
    return chooser


def _candidates(settings: OutletSettings, far: Far | None, members: str) -> tuple[Candidate, ...]:
    device = may_accelerate(settings.accelerator)
    if far is None or settings.method != AUTO:
        # a device has members of 64 KiB only
        return levels_of(settings.method, device=device and members != ONE_MEMBER)
    if not far.agreed.method_per_packet:
        far.close()
        raise MethodUnavailable(
            f"Ramferry {far.agreed.far} at {settings.connect} takes one method a migration"
            " only: give this relay another --method than auto"
        )
    return usable(far.agreed.inflates, device)


def _load(far: Far) -> Load | None:
    told = far.load
    return told[0] if told and time.monotonic() - told[1] < FRESH else None
