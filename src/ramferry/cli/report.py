"""``ramferry report``: what ``ramferry bench`` measured, as a page or text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

EPILOG = """\b
Exit codes: 0 written; 2 a file that is no result of ramferry bench, is
damaged or of another format; 8 it cannot be read, or the report not written."""


FORMATS: Final = ("html", "text", "markdown", "csv")


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
    type=click.Choice(FORMATS),
    help="A page, text, Markdown, or a line of CSV for every run.  [default: by the ending of"
    " FILE, else text]",
)
@click.option("--force", is_flag=True, help="Replace FILE where it exists.  [default: refuse]")
def command(**options: Any) -> None:
    """Show what ramferry bench measured: one page with tables and plots that needs
    no network, or text.

    With several results the first is compared with each of the others; a
    difference smaller than the spread of the runs is called not significant.
    """
    from ramferry.cli.runs import report

    report.run(**options)
