"""``ramferry inspect``: what is in a save file or a recorded migration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ramferry.cli.json_option import json_option
from ramferry.cli.params import page_size_option

EPILOG = """\b
Exit codes: 0 sound; 2 nothing of a migration; 7 damaged: what was readable
is shown all the same; 8 it cannot be read."""


@click.command(epilog=EPILOG)
@click.argument(
    "what",
    metavar="WHAT",
    type=click.Path(exists=True, allow_dash=True, path_type=Path),
    required=False,
)
@page_size_option
@json_option()
def command(**options: Any) -> None:
    """Show what is in WHAT: a file of ramferry save; the recording of a migration's
    main or multifd channel, as QEMU's exec:cat>FILE or a proxy makes it, a
    mapped-ram file, or a folder with one file for each connection; - for
    standard input. A recording may be in gzip, zstd or a libvirt save image.

    RAM blocks with their pages, zero and repeated pages and ratio; packets by
    channel; devices by the VM description; and where the data is damaged.
    """
    from ramferry.cli.runs import inspect

    inspect.run(**options)
