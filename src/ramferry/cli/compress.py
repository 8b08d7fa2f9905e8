"""``ramferry compress``: files and pipes into QATzip formats."""

from __future__ import annotations

from pathlib import Path

import click

from ramferry.cli.files import SUFFIXES, Options, file_options, run_all
from ramferry.cli.params import accelerator_option
from ramferry.errors import UsageError
from ramferry.qatzip import FORMATS, LEVELS, MEMBER_SIZE, Totals, stream
from ramferry.qatzip.base import MAX_MEMBER_SIZE


class _Compress:
    compresses = True

    def __init__(self, level: int, format: str, member_size: int, accelerator: str) -> None:
        self._level = level
        self._format = format
        self._member_size = member_size
        self._accelerator = accelerator

    def target(self, source: Path, force: bool) -> Path:
        """Append the format's suffix."""
        suffix = SUFFIXES[self._format]
        if source.suffix == suffix and not force:
            raise UsageError(f"{source} has the suffix {suffix} already: --force compresses it")
        return source.with_name(source.name + suffix)

    def run(
        self, source: str, reader: stream.Reader, writer: stream.Writer, progress: stream.Progress
    ) -> Totals:
        """Compress one input."""
        del source
        return stream.compress(
            reader,
            writer,
            self._level,
            format=self._format,
            member_size=self._member_size,
            accelerator=self._accelerator,
            progress=progress,
        )


@click.command("compress")
@file_options
@click.option(
    "-L",
    "--level",
    type=click.IntRange(LEVELS[0], LEVELS[-1]),
    default=1,
    show_default=True,
    help="1 is fastest (ISA-L to level 3), 9 is smallest (libdeflate from level 4).",
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="gzip-ext and gzip get the suffix .gz, raw .deflate, 4B .4b, zlib .zz.",
)
@click.option(
    "--member-size",
    type=click.IntRange(1, MAX_MEMBER_SIZE),
    default=MEMBER_SIZE,
    show_default=True,
    metavar="BYTES",
    help="Input bytes of a member; QAT hardware inflates members of up to 65536 bytes.",
)
@accelerator_option
def command(
    files: tuple[str, ...],
    keep: bool,
    force: bool,
    to_stdout: bool,
    output: str | None,
    verbose: bool,
    level: int,
    format: str,
    member_size: int,
    accelerator: str,
) -> None:
    """Compress each FILE into a file of its name and the format's suffix.

    The input is removed once the output is complete and on disk. Without a FILE, or for "-",
    standard input is compressed to standard output. The default format is read by gzip, qzip and
    QAT hardware.
    """
    options = Options(keep, force, to_stdout, output, verbose)
    run_all(files, options, _Compress(level, format, member_size, accelerator))
