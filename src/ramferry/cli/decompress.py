"""``ramferry decompress``: files and pipes out of QATzip formats."""

from __future__ import annotations

from pathlib import Path

import click

from ramferry.cli.files import SUFFIXES, Options, file_options, run_all
from ramferry.cli.params import accelerator_option
from ramferry.errors import CorruptDataError, UsageError
from ramferry.qatzip import FORMATS, Totals, stream

_BY_SUFFIX = {suffix: format for format, suffix in SUFFIXES.items()} | {".tgz": "gzip"}


class _Decompress:
    compresses = False

    def __init__(self, format: str | None, accelerator: str) -> None:
        self._format = format
        self._accelerator = accelerator

    def target(self, source: Path, force: bool) -> Path:
        """Take the suffix away; .tgz becomes .tar."""
        del force
        if source.suffix == ".tgz":
            return source.with_suffix(".tar")
        if source.suffix not in _BY_SUFFIX:
            known = ", ".join(_BY_SUFFIX)
            raise UsageError(f"{source} has none of the suffixes {known}: name the --output")
        return source.with_suffix("")

    def run(
        self, source: str, reader: stream.Reader, writer: stream.Writer, progress: stream.Progress
    ) -> Totals:
        """Decompress one input, in the format that was named, or that its suffix says."""
        format = self._format or _BY_SUFFIX.get(Path(source).suffix, "gzip")
        try:
            totals = stream.decompress(
                reader, writer, format=format, accelerator=self._accelerator, progress=progress
            )
            if totals.bytes_in == 0:
                raise CorruptDataError("compressed data", "nothing")
        except CorruptDataError as error:
            raise error.at(source) from None
        return totals


@click.command("decompress")
@file_options
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    help="gzip-ext and gzip read any gzip members; default: by the suffix, gzip without one.",
)
@click.option(
    "-t",
    "--test",
    is_flag=True,
    help="Verify everything, write nothing and keep the input files; default: no.",
)
@accelerator_option
def command(
    files: tuple[str, ...],
    keep: bool,
    force: bool,
    to_stdout: bool,
    output: str | None,
    verbose: bool,
    format: str | None,
    test: bool,
    accelerator: str,
) -> None:
    """Decompress each FILE into a file of its name without the suffix.

    The input is removed once the output is complete and on disk. Without a FILE, or for "-",
    standard input is decompressed to standard output. Damage, truncation and trailing bytes are
    errors: no file of the final name appears then.
    """
    options = Options(keep, force, to_stdout, output, verbose, discard=test)
    run_all(files, options, _Decompress(format, accelerator))
