"""``--json FILE``, or ``--json -`` for standard output: the option of every command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from ramferry.cli.words import file_names
from ramferry.errors import UsageError

NO_FILE: Final = "names no FILE: write --json FILE, or --json - for standard output"

Command = TypeVar("Command", bound=Callable[..., Any])


class JsonFileType(click.ParamType):  # type: ignore[type-arg] # generic in newer click only
    """A ``json_file.JsonFile``, checked while the command line is read."""

    name = "file"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Check it."""
        # only a command line that names one needs it
        from ramferry.cli.json_file import JsonFile

        if isinstance(value, JsonFile):
            return value
        try:
            return JsonFile(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Any:
        """See ``click.ParamType``."""
        return file_names(ctx, param, incomplete)


class _JsonOption(click.Option):
    """``--json`` as the last word, or before another option, has its own sentence."""

    def type_cast_value(self, ctx: click.Context, value: object) -> Any:
        """Refuse the empty text that stands for no FILE."""
        if value == "":
            raise click.BadParameter(NO_FILE, ctx, self)
        return super().type_cast_value(ctx, value)


def json_option(
    help: str = "Write the result as JSON, in place of what FILE holds; - for standard output.",
    kind: click.ParamType = JsonFileType(),  # type: ignore[type-arg] # as above
) -> Callable[[Command], Command]:
    """The decorator for ``--json``, whose value a command gets as ``json_file``."""
    return click.option(
        "--json",
        "json_file",
        cls=_JsonOption,
        type=kind,
        is_flag=False,
        flag_value="",
        metavar="FILE",
        help=help,
    )
