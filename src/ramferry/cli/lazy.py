"""A group of commands that lists all of them and imports only the one that is called.

A command's module has its options; what it does is in ``cli.runs`` and imported when it runs. So
``--help`` and bad options are answered at once, and a relay loads nothing that only others need.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import Any

import click

from ramferry.cli.help_lines import HelpContext


class LazyGroup(click.Group):
    """A group whose commands each have a module of their own, in which they are called
    ``command``."""

    context_class = HelpContext

    def __init__(
        self,
        *args: Any,
        modules: str,
        parts: Mapping[str, str],
        unlisted: Collection[str] = (),
        **more: Any,
    ) -> None:
        """
        :param modules: what stands before a command's name in the name of its module.
        :param parts: command name → one line for ``--help``, in the order that is shown.
        :param unlisted: names of further commands, which no person calls.
        """
        super().__init__(*args, **more)
        self._modules = modules
        self.parts = parts
        self._unlisted = unlisted

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See ``click.Group``."""
        del ctx
        return list(self.parts)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See ``click.Group``; here the module is imported."""
        del ctx
        if cmd_name not in self.parts and cmd_name not in self._unlisted:
            return None
        module = importlib.import_module(f"{self._modules}{cmd_name}")
        command: click.Command = module.command
        command.context_class = HelpContext
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """See ``click.Group``; the names are known without an import."""
        from click.shell_completion import CompletionItem

        known = self.parts.items()
        names = [CompletionItem(name, help=line) for name, line in known]
        return [
            *(item for item in names if item.value.startswith(incomplete)),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See ``click.Group``; the lines are known without an import."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self.parts.items()))
