"""``ramferry decompress``: files and pipes out of QATzip formats."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.file_options import EPILOG, Options, digits, file_options, format_option
from ramferry.cli.params import accelerator_option


@click.command("decompress", epilog=EPILOG)
@file_options
@digits
@format_option(
    "gzip-ext and gzip read any gzip members; default: by the suffix, gzip without one. raw and 4B "
    "have no checksum: what comes out of damaged files may be other data, without an error."
)
@click.option("-d", "--decompress", is_flag=True, hidden=True, help="What it does anyway.")
@accelerator_option
def command(files: tuple[str, ...], options: Options, **own: Any) -> None:
    """Decompress each FILE into a file of its name without the suffix.

    The input is removed once the output is complete and on disk. Without a FILE, or for "-",
    standard input is decompressed to standard output. Damage, truncation and trailing bytes are
    errors: no file of the final name appears then. Zeros behind the last gzip member, as on a
    tape, are no damage.
    """
    from ramferry.cli.runs import decompress

    decompress.run(files, options, **own)
