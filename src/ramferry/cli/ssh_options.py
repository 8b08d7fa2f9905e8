"""The options of commands that reach a host by ssh."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.params import Command
from ramferry.transport.address import MOST_PORT


class PortRange(click.ParamType):  # type: ignore[type-arg] # generic in newer click only
    """Ports: ``A-B``, or one port."""

    name = "ports"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Read the first and the last port."""
        if isinstance(value, tuple):
            return value
        first, dash, last = str(value).partition("-")
        words = (first, last if dash else first)
        if not all(word.isascii() and word.isdigit() and len(word) < 6 for word in words):
            self.fail(f"{value!r} is no range of ports: write A-B", param, ctx)
        low, high = (int(word) for word in words)
        if not 0 < low <= high <= MOST_PORT:
            self.fail(
                f"{value!r} is no range of ports from 1 to {MOST_PORT}: write A-B", param, ctx
            )
        return low, high


def remote_command_option(command: Command) -> Command:
    """``--remote-command``."""
    return click.option(
        "--remote-command",
        metavar="COMMAND",
        default="ramferry",
        show_default=True,
        help="With ssh://HOST: what a shell there runs as ramferry.",
    )(command)


def direct_options(command: Command) -> Command:
    """``--remote-command``, and where data go to beside ssh."""
    options: list[Any] = [
        click.option(
            "--port-range",
            type=PortRange(),
            metavar="A-B",
            help="With ssh://HOST: the ports there that data may go to.  [default: any]",
        ),
        click.option(
            "--data-address",
            metavar="ADDRESS",
            help="With ssh://HOST: its address for data.  [default: the one that ssh reached]",
        ),
    ]
    for option in options:
        command = option(command)
    return remote_command_option(command)


def ssh_options(command: Command) -> Command:
    """Those, and ``--through-ssh``."""
    through = click.option(
        "--through-ssh",
        is_flag=True,
        help="With ssh://HOST: data go through the ssh connection, not beside it.",
    )
    return direct_options(through(command))
