"""``ramferry plan link``: the far end of ``ramferry plan time --link probe:HOST:PORT``."""

from __future__ import annotations

import os
import threading

import click

from ramferry.cli.interrupt import stop_on_signals
from ramferry.cli.params import Seconds
from ramferry.control.link.far import LinkAnswer
from ramferry.errors import UsageError
from ramferry.transport.address import WILDCARDS, TcpAddress, parse_address
from ramferry.units import rate

EPILOG = """\b
Exit codes: 0 probed; 2 usage; 3 no probe came, or it broke off; 6 ended
before one came; 8 the address is in use, or not ours."""


@click.command(epilog=EPILOG)
@click.argument("listen", metavar="tcp:HOST:PORT")
@click.option(
    "--wait",
    type=Seconds(min=0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="S",
    help="Seconds after which it ends where no probe came.",
)
def command(listen: str, wait: float) -> None:
    """Wait for one probe of the link to this host, take it, and end.

    On the guest's host, `ramferry plan time GUEST --link probe:HOST:PORT` asks here by UDP, opens
    as many TCP connections as the migration has channels, and fills them for about a second, with
    4 GiB at most. Both sides say what came through.
    """
    address = parse_address(listen)
    if not isinstance(address, TcpAddress):
        raise UsageError("a link is probed at tcp:HOST:PORT, as tcp:0.0.0.0:4446")
    stop = threading.Event()
    with stop_on_signals(stop), LinkAnswer(address) as answer:
        there = answer.address
        assert isinstance(there, TcpAddress)
        host = os.uname().nodename if there.host in WILDCARDS else there.host
        probe = str(TcpAddress(host, there.port)).replace("tcp:", "probe:", 1)
        click.echo(f"waiting at {there}: run `ramferry plan time GUEST --link {probe}`", err=True)
        near, flow = answer.wait(wait, stop)
    click.echo(f"{near} sent {flow.all_bytes / 1e6:.0f} MB here, {rate(flow.rate)} once it flowed")
