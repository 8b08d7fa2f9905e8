"""``ramferry plan``: what to reserve, which method to choose, and how long it will take."""

from __future__ import annotations

from typing import Final

import click

from ramferry.cli.lazy import LazyGroup

PARTS: Final = {
    "memory": "DMA memory that QATzip in hardware takes, and its limits",
    "method": "QATzip, QPL or software, and by which rule",
    "time": "how long each method would take, by a sample of the guest",
    "link": "wait at the far end for a probe of the link, for `plan time`",
}


@click.group(cls=LazyGroup, modules="ramferry.cli.plan_", parts=PARTS)
def command() -> None:
    """Plan memory, method and time of a migration before it runs."""
