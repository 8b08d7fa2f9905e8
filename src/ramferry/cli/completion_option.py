"""``--completion SHELL``: the option alone, which every start of ``ramferry`` loads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

SHELLS: Final = ("bash", "zsh", "fish")
VARIABLE: Final = "_RAMFERRY_COMPLETE"
"""Variable of the environment by which a shell's script asks for words."""


def completion_option(command: Command) -> Command:
    """``--completion``, which prints and ends."""
    return click.option(
        "--completion",
        type=click.Choice(SHELLS),
        is_eager=True,
        expose_value=False,
        callback=_print,
        metavar="|".join(SHELLS),
        help="Print the script by which that shell completes words, and exit: for bash,"
        ' eval "$(ramferry --completion bash)" in ~/.bashrc.',
    )(command)


def _print(ctx: click.Context, param: click.Parameter, shell: str | None) -> None:
    del param
    if shell is None or ctx.resilient_parsing:
        return
    # only who asks for it needs it
    from ramferry.cli.completion import script

    click.echo(script(shell), nl=False)
    ctx.exit()
