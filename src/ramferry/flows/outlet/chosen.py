"""Whether an outlet's methods, or levels, are chosen, without loading what chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ramferry.flows.outlet.outlet_settings import OutletSettings
from ramferry.flows.peer.far import Far
from ramferry.vocabulary import AUTO

if TYPE_CHECKING:
    from ramferry.flows.choosing.chooser import Chooser
    from ramferry.flows.outlet.outlet import Outlet


def chooses(settings: OutletSettings) -> bool:
    """Whether each packet's method, or level, is chosen."""
    return settings.method == AUTO or settings.auto_level


def load() -> None:
    """Load what chooses, which takes 40 ms of a core, before a migration waits for it."""
    from ramferry.flows.outlet import far_load  # noqa: F401


def make_chooser(outlet: Outlet, far: Far | None) -> Chooser:
    """See ``far_load.chooser_for``."""
    # a relay of one method and level does not load what chooses
    from ramferry.flows.outlet.far_load import chooser_for

    return chooser_for(outlet, far)
