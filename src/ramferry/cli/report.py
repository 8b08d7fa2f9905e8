"""``ramferry report``: what ``ramferry bench`` measured, as a page or text."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from ramferry.errors import HostError, UsageError
from ramferry.report.benchmark import comparison
from ramferry.report.benchmark.chapters import report
from ramferry.report.benchmark.differences import Named
from ramferry.report.formats import markdown, spreadsheet, text
from ramferry.transport.safefile import SafeFile

EPILOG = """\b
Exit codes: 0 written; 2 a file that is no result of ramferry bench, is
damaged or of another format; 8 it cannot be read, or the report not written."""


def _page(measured: Sequence[Named]) -> str:
    # plotly is imported only for a page
    from ramferry.report.formats import page

    return page.draw(report(measured))


FORMATS: Final[dict[str, Callable[[Sequence[Named]], str]]] = {
    "html": _page,
    "text": lambda measured: text.draw(report(measured)),
    "markdown": lambda measured: markdown.draw(report(measured)),
    "csv": spreadsheet.draw,
}

_ENDINGS: Final = {".html": "html", ".htm": "html", ".md": "markdown", ".csv": "csv"}


@click.command(epilog=EPILOG)
@click.argument(
    "results",
    metavar="RESULT.json...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(allow_dash=True, path_type=Path),
    default="-",
    help="Where the report goes; - for standard output.  [default: -]",
)
@click.option(
    "--format",
    "wanted",
    type=click.Choice(list(FORMATS)),
    help="A page, text, Markdown, or a line of CSV for every run.  [default: by the ending of"
    " FILE, else text]",
)
@click.option("--force", is_flag=True, help="Replace FILE where it exists.  [default: refuse]")
def command(results: tuple[Path, ...], output: Path, wanted: str | None, force: bool) -> None:
    """Show what ramferry bench measured: one page with tables and plots that needs
    no network, or text.

    With several results the first is compared with each of the others; a
    difference smaller than the spread of the runs is called not significant.
    """
    measured = [Named(name, comparison.read(path)) for name, path in _named(results)]
    drawn = FORMATS[wanted or _ENDINGS.get(output.suffix.lower(), "text")](measured)
    if str(output) == "-" and sys.stdout is None:
        raise HostError("cannot write the report: standard output is closed")
    if str(output) != "-":
        _write(drawn.encode(), output, results, force)
    elif wanted == "html" and sys.stdout.isatty():
        raise UsageError("a page is nothing for a terminal: name a file with -o report.html")
    else:
        click.echo(drawn, nl=False)


def _named(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Each with its file's name, or its whole path where two have the same."""
    names = [path.name for path in paths]
    return [(path.name if names.count(path.name) == 1 else str(path), path) for path in paths]


def _write(content: bytes, output: Path, results: Sequence[Path], force: bool) -> None:
    """The file appears whole, readable to those who may read the first result."""
    if output.exists():
        if not output.is_file():
            raise UsageError(f"{output} exists and is not a regular file: - is standard output")
        if any(output.samefile(path) for path in results):
            raise UsageError(f"{output} is the input itself")
    with SafeFile(output, replace=force, like=results[0].stat()) as file:
        with open(file.fd, "wb", closefd=False) as stream:
            stream.write(content)
        file.commit()
    os.utime(output)
