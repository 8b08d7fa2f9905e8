"""The options that ``compress`` and ``decompress`` share, most of which gzip and qzip have too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import click

from ramferry.cli.words import file_names
from ramferry.vocabulary import FORMATS

EPILOG: Final = """\b
As gzip has them: compress -d is decompress; -n, -N and -q change nothing,
since names are not stored and nothing is told but errors, nor do -1 to -9
where something is decompressed. So both serve as tar -I 'ramferry compress'."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a command was asked to do with its files."""

    keep: bool
    force: bool
    to_stdout: bool
    output: str | None
    verbose: bool
    test: bool = False
    """Read everything, write nothing."""
    listing: bool = False
    """Write nothing but a line of sizes for each file."""

    @property
    def discard(self) -> bool:
        """Whether what comes out is thrown away: --test and --list only want to know whether it is
        sound."""
        return self.test or self.listing


class _Format(click.Choice):  # type: ignore[type-arg] # generic in newer click only
    """One of FORMATS, or what qzip calls it."""

    _QZIP: Final = {"gzipext": "gzip-ext", "deflate_4B": "4B"}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See ``click.Choice``."""
        return super().convert(self._QZIP.get(value, value), param, ctx)


def format_option(help: str) -> Callable[..., Any]:
    """The option ``--format``; None if it is not given."""
    return click.option("-O", "--format", type=_Format(FORMATS), help=help)


def _flag(*names: str, help: str, hidden: bool = False) -> Callable[..., Any]:
    return click.option(*names, is_flag=True, help=help, hidden=hidden, expose_value=not hidden)


_OPTIONS: Final[list[Callable[..., Any]]] = [
    click.argument("files", nargs=-1, metavar="[FILE]...", shell_complete=file_names),
    _flag("-k", "--keep", help="Keep the input files; default: no."),
    _flag(
        "-f",
        "--force",
        help="Replace existing files, compress compressed ones, follow links, use a terminal; "
        "default: no.",
    ),
    _flag(
        "-c",
        "--stdout",
        "to_stdout",
        help="Write to standard output and keep the input files; default: no, except for "
        "standard input.",
    ),
    click.option(
        "-o",
        "--output",
        metavar="FILE",
        shell_complete=file_names,
        help="Write the one input's output here; default: the input's name and suffix.",
    ),
    _flag(
        "-v",
        "--verbose",
        help="Tell sizes, ratio and backend of each file on standard error; default: no.",
    ),
    _flag(
        "-t",
        "--test",
        help="Verify compressed files, write nothing and keep the input files; default: no.",
    ),
    _flag(
        "-l",
        "--list",
        "listing",
        help="List sizes and ratio of compressed files, found by decompressing them, write nothing "
        "else and keep the input files; default: no.",
    ),
    _flag("-q", "--quiet", hidden=True, help="Tell nothing but errors, as always."),
    _flag("-n", "--no-name", hidden=True, help="Store or restore no name, as always."),
    _flag("-N", "--name", hidden=True, help="Accepted; names are neither stored nor restored."),
]


def file_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the arguments and options that both commands share.

    ``command`` is called with the files, an :class:`Options`, and its own options by name.
    """

    @functools.wraps(command)
    def gathered(
        files: tuple[str, ...],
        keep: bool,
        force: bool,
        to_stdout: bool,
        output: str | None,
        verbose: bool,
        test: bool,
        listing: bool,
        **own: Any,
    ) -> None:
        options = Options(keep, force, to_stdout, output, verbose, test, listing)
        command(files, options, **own)

    for decorate in reversed(_OPTIONS):
        gathered = decorate(gathered)
    return gathered


def digits(command: Callable[..., None]) -> Callable[..., None]:
    """Add -1 to -9, --fast and --best, which set the level; the last one given counts."""
    names: dict[int, tuple[str, ...]] = {1: ("--fast",), 9: ("--best",)}
    for digit in range(1, 10):
        declared = (f"-{digit}", *names.get(digit, ()), "level")
        command = click.option(*declared, flag_value=digit, type=int, hidden=True)(command)
    return command
