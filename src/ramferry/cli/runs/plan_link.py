"""What ``ramferry plan link`` does; its options are in ``cli.plan_link``."""

from __future__ import annotations

import os

import click

from ramferry.cli.interrupt import Wish, stop_on_signals
from ramferry.control.link.far import LinkAnswer
from ramferry.errors import UsageError
from ramferry.transport.address import WILDCARDS, TcpAddress, parse_place
from ramferry.units import rate


def run(listen: str, wait: float) -> None:
    """Run it, with the values of its options."""
    address = parse_place(listen)
    if not isinstance(address, TcpAddress):
        raise UsageError("a link is probed at tcp:HOST:PORT, as tcp:0.0.0.0:4446")
    stop = Wish()
    with stop_on_signals(stop), LinkAnswer(address) as answer:
        there = answer.address
        assert isinstance(there, TcpAddress)
        host = os.uname().nodename if there.host in WILDCARDS else there.host
        probe = str(TcpAddress(host, there.port)).replace("tcp:", "probe:", 1)
        click.echo(f"waiting at {there}: run `ramferry plan time GUEST --link {probe}`", err=True)
        near, flow = answer.wait(wait, stop)
    click.echo(f"{near} sent {flow.all_bytes / 1e6:.0f} MB here, {rate(flow.rate)} once it flowed")
