"""``--config FILE``: a command's options by a TOML file, under the rules of its command line.

A key is an option's or an argument's name, and its value becomes the words that would stand on the
command line. So types, bounds and sentences are those of the options themselves.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from ramferry.errors import UsageError, unreadable

Command = TypeVar("Command", bound=Callable[..., Any])

MOST_BYTES: Final = 1 << 16
"""Most bytes of a file; one that sets every option has 5 KiB."""
_META: Final = "ramferry.config"
"""Where a context has the file that was read."""
_OPTION: Final = "config"


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    text: str
    values: Mapping[str, Any]
    """By key, as TOML has them."""

    def place(self, key: str) -> str:
        """The file, and the line if the key stands in one line only, for a sentence."""
        begins = re.compile(rf"""\s*\[*\s*(["']?){re.escape(key)}\1\s*[].=]""")
        lines = [
            number for number, line in enumerate(self.text.splitlines(), 1) if begins.match(line)
        ]
        return f"{self.name}, line {lines[0]}" if len(lines) == 1 else self.name


def config_option() -> Callable[[Command], Command]:
    """``--config``, of a command of class ``Configured``."""
    return click.option(
        "--config",
        _OPTION,
        type=click.Path(path_type=Path, readable=False),
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_read,
        help="TOML file with a key for each argument and option, by its name without dashes"
        " (listen, connect, method, verify = false). What stands on the command line wins.",
    )


class Configured(click.Command):
    """A command that takes what its command line leaves out from a file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See ``click.Command``.

        :raise UsageError: a value of the file is wrong; the sentence names file, line and key.
        """
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            file: _File | None = ctx.meta.get(_META)
            if file is None or error.param is None:
                raise
            raise UsageError(f"{file.name} has no key {key_of(error.param)}") from error
        except click.BadParameter as error:
            file = ctx.meta.get(_META)
            if file is None or error.param is None or not _from_file(ctx, error.param):
                raise
            key = key_of(error.param)
            raise UsageError(f"{file.place(key)}: {key}: {error.message.rstrip('.')}") from error

    def invoke(self, ctx: click.Context) -> Any:
        """See ``click.Command``.

        :raise UsageError: values do not go together, or mean nothing; the sentence names the file,
            and the line where it quotes a value that stands there.
        """
        try:
            return super().invoke(ctx)
        except UsageError as error:
            file: _File | None = ctx.meta.get(_META)
            if file is None or _on_the_line(ctx, str(error)):
                raise
            raise error.reworded(f"{_meant_by(ctx, file, str(error))}: {error}") from error


def keys(command: click.Command) -> dict[str, click.Parameter]:
    """Every key that a file may have, and the option or argument that it stands for."""
    return {
        key_of(one): one
        for one in command.params
        if one.name != _OPTION and not getattr(one, "hidden", False)
    }


def key_of(parameter: click.Parameter) -> str:
    """A parameter's key: an option's long name without dashes, an argument's name."""
    names = [name for name in parameter.opts if name.startswith("--")]
    return names[0].removeprefix("--") if names else str(parameter.name)


def _from_file(ctx: click.Context, parameter: click.Parameter) -> bool:
    return ctx.get_parameter_source(str(parameter.name)) is ParameterSource.DEFAULT_MAP


def _on_the_line(ctx: click.Context, sentence: str) -> bool:
    """Whether a sentence quotes a value that stands on the command line."""
    return any(
        f"{key} {ctx.params.get(str(one.name))}" in sentence
        for key, one in keys(ctx.command).items()
        if ctx.get_parameter_source(str(one.name)) is ParameterSource.COMMANDLINE
    )


def _meant_by(ctx: click.Context, file: _File, sentence: str) -> str:
    """The place of the one key of the file that a sentence names, or whose value it quotes; else
    the file's name."""
    values = [
        (key, str(value))
        for key, parameter in keys(ctx.command).items()
        if key in file.values and _from_file(ctx, parameter)
        for value in _listed(file.values[key])
    ]
    named = {
        key
        for key, value in values
        if f"--{key} " in f"{sentence} " or f"{key} {value} " in f"{sentence} "
    }
    quoted = {key for key, value in values if len(value) > 2 and value in sentence}
    found = named or quoted
    return file.place(*found) if len(found) == 1 else file.name


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _read(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Make a file's values the defaults of the command's options.

    :raise UsageError: there is no such file, it is no TOML, or has a key that is unknown, or a
        value of a kind that no command line could have.
    :raise HostError: it cannot be read.
    """
    if path is None:
        return
    ctx.meta[_META] = file = _parse(str(path), _content(path))
    known = keys(ctx.command)
    defaults: dict[str, Any] = {}
    for key, value in file.values.items():
        if key not in known:
            raise UsageError(f"{file.place(key)}: there is no key {key!r}{_meant(key, known)}")
        try:
            defaults[str(known[key].name)] = _words(known[key], key, value)
        except ValueError as error:
            raise UsageError(f"{file.place(key)}: {key}: {error}") from error
    ctx.default_map = defaults


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder, and --config takes a file") from None
    except OSError as error:
        raise unreadable(path, error) from error


def _parse(name: str, raw: bytes) -> _File:
    import tomllib

    if len(raw) > MOST_BYTES:
        raise UsageError(f"{name} has more than {MOST_BYTES >> 10} KiB: it is no relay's file")
    try:
        text = raw.decode()
        return _File(name, text, tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no TOML: {error}") from error


def _meant(key: str, known: Mapping[str, click.Parameter]) -> str:
    positive = key.removeprefix("no-")
    if positive != key and positive in known:
        return f"; write {positive} = false"
    near = difflib.get_close_matches(key, known, 1)
    return f"; {near[0]} is meant, perhaps" if near else ""


def _words(parameter: click.Parameter, key: str, value: Any) -> Any:
    """A value as it would stand on the command line.

    :raise ValueError: it would not; the text is a phrase.
    """
    if getattr(parameter, "is_flag", False):
        if not isinstance(value, bool):
            raise ValueError("true or false is expected, without quotes")
        return value
    if isinstance(parameter, click.Option) and parameter.multiple:
        if not isinstance(value, list):
            raise ValueError(f'a list is expected: {key} = ["…"]')
        return [_word(one) for one in value]
    return _word(value)


def _word(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a text in quotes or a number is expected")
    try:
        return str(value)
    except ValueError:
        raise ValueError("the number is too large") from None
