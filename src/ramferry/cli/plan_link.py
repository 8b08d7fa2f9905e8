"""``ramferry plan link``: the far end of ``ramferry plan time --link probe:HOST:PORT``."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.params import Seconds
from ramferry.cli.words import addresses

EPILOG = """\b
Exit codes: 0 probed; 2 usage; 3 no probe came, or it broke off; 6 interrupted
while it waited; 8 the address is in use, or not one of this host; 130
interrupted before it was at work."""


@click.command(epilog=EPILOG)
@click.argument("listen", metavar="tcp:HOST:PORT", shell_complete=addresses("tcp:"))
@click.option(
    "--wait",
    type=Seconds(min=0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="S",
    help="Seconds after which it ends where no probe came.",
)
def command(**options: Any) -> None:
    """Wait for one probe of the link to this host, take it, and end.

    On the guest's host, `ramferry plan time GUEST --link probe:HOST:PORT` asks here by UDP, opens
    as many TCP connections as the migration has channels, and fills them for about a second, with
    4 GiB at most. Both sides say what came through.
    """
    from ramferry.cli.runs import plan_link

    plan_link.run(**options)
