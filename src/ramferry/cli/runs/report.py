"""What ``ramferry report`` does; its options are in ``cli.report``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from ramferry.cli.report import FORMATS
from ramferry.errors import HostError, UsageError
from ramferry.report.benchmark import series
from ramferry.report.benchmark.chapters import rates_of, report
from ramferry.report.benchmark.comparison import Comparison
from ramferry.report.benchmark.differences import Named
from ramferry.report.benchmark.series import LinkSeries
from ramferry.report.benchmark.series_chapter import NamedSeries
from ramferry.report.formats import markdown, spreadsheet, text
from ramferry.transport.safefile import SafeFile

Draw = Callable[[Sequence[Named], Sequence[NamedSeries]], str]


def _page(measured: Sequence[Named], series: Sequence[NamedSeries]) -> str:
    # plotly and jinja2 are an extra, and imported only for a page
    from ramferry.report.formats import page

    return page.draw(report(measured, series))


_DRAW: Final[dict[str, Draw]] = dict(
    zip(
        FORMATS,
        (
            _page,
            lambda measured, series: text.draw(report(measured, series)),
            lambda measured, series: markdown.draw(report(measured, series)),
            lambda measured, series: spreadsheet.draw(
                [*measured, *(rate for one in series for rate in rates_of(one))]
            ),
        ),
        strict=True,
    )
)
_ENDINGS: Final = {".html": "html", ".htm": "html", ".md": "markdown", ".csv": "csv"}


def run(results: tuple[Path, ...], output: Path, wanted: str | None, force: bool) -> None:
    """Run it, with the values of its options."""
    read = [(name, series.read(path)) for name, path in _named(results)]
    drawn = _DRAW[wanted or _ENDINGS.get(output.suffix.lower(), "text")](
        [Named(name, found) for name, found in read if isinstance(found, Comparison)],
        [NamedSeries(name, found) for name, found in read if isinstance(found, LinkSeries)],
    )
    if str(output) == "-" and sys.stdout is None:
        raise HostError("cannot write the report: standard output is closed")
    if str(output) != "-":
        _write(drawn.encode(), output, results, force)
    elif wanted == "html" and sys.stdout.isatty():
        raise UsageError("a page is nothing for a terminal: name a file with -o report.html")
    else:
        click.echo(drawn, nl=False)


def _named(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Each path with its file's name, or with the whole path if two names are the same."""
    names = [path.name for path in paths]
    return [(path.name if names.count(path.name) == 1 else str(path), path) for path in paths]


def _write(content: bytes, output: Path, results: Sequence[Path], force: bool) -> None:
    """Write the file; it appears complete, with the permissions of the first result."""
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
