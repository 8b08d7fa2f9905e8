"""``ramferry compress``: files and pipes into QATzip formats."""

from __future__ import annotations

from typing import Any, Final

import click

from ramferry.cli.file_options import EPILOG, Options, digits, file_options, format_option
from ramferry.cli.params import accelerator_option
from ramferry.vocabulary import FORMATS, MAX_MEMBER_SIZE, MEMBER_SIZE, METHOD_LEVELS

_LEVELS: Final = METHOD_LEVELS["qatzip"]


@click.command("compress", epilog=EPILOG)
@file_options
@digits
@click.option(
    "-L",
    "--level",
    type=click.IntRange(_LEVELS[0], _LEVELS[-1]),
    help="1 is fastest (ISA-L to level 3), 9 is smallest (libdeflate from level 4); -1 to -9 say "
    "the same; default: 1.",
)
@format_option(
    "gzip-ext and gzip get the suffix .gz, raw .deflate, 4B .4b, zlib .zz. raw and 4B have no "
    f"checksum: damage to them may pass unnoticed; default: {FORMATS[0]}."
)
@click.option(
    "-C",
    "--member-size",
    type=click.IntRange(1, MAX_MEMBER_SIZE),
    default=MEMBER_SIZE,
    show_default=True,
    metavar="BYTES",
    help="Input bytes of a member; QAT hardware inflates members of up to 65536 bytes.",
)
@click.option("-d", "--decompress", is_flag=True, help="Decompress; default: no.")
@accelerator_option
def command(files: tuple[str, ...], options: Options, **own: Any) -> None:
    """Compress each FILE into a file of its name and the format's suffix.

    The input is removed once the output is complete and on disk. Without a FILE, or for "-",
    standard input is compressed to standard output. The default format is read by gzip, qzip and
    QAT hardware.
    """
    from ramferry.cli.runs import compress

    compress.run(files, options, **own)
