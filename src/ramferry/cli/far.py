"""``ramferry far``: the far half, which another ``ramferry`` starts over ssh."""

from __future__ import annotations

import click


@click.command(hidden=True)
def command() -> None:
    """Be the far half of a ramferry on another host, which starts this over ssh.

    It speaks with that by its standard streams, and ends with them.
    """
    from ramferry.cli.runs import far

    far.run()
