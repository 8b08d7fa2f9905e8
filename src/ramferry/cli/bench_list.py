"""``ramferry bench list``: the scenarios that come with Ramferry."""

from __future__ import annotations

from typing import Any

import click


@click.command()
def command(**options: Any) -> None:
    """List the scenarios that come with Ramferry."""
    from ramferry.cli.runs import bench_list

    bench_list.run(**options)
