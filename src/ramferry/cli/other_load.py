"""What else kept this host busy while something was measured, for a person."""

from __future__ import annotations

from rich.console import Console

from ramferry.forecast.other_load import OtherLoad
from ramferry.metrics.forecast import NOTABLE_LOAD


def tell_other_load(load: OtherLoad, screen: Console) -> None:
    """Say that the host is faster than what was measured, if others kept it busy."""
    if (busy := load.cores()) >= NOTABLE_LOAD:
        screen.print(f"others kept {busy:.1f} cores of this host busy: it is faster than this")
