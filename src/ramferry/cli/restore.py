"""``ramferry restore``: a saved VM's state into a QEMU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ramferry.cli.json_option import json_option
from ramferry.cli.params import archive_channels_option
from ramferry.cli.ssh_options import ssh_options
from ramferry.cli.words import addresses

EPILOG = """\b
Exit codes: 0 restored; 2 usage: another machine, no save file; 3 the QEMU
does not answer, or has ended; 4 it cannot do what is needed; 5 the QEMU
refused the guest; 6 cancelled; 7 the file is damaged: the guest was not
started; 8 this host refuses; 9 the QEMU stopped in the middle; 130
interrupted before it was at work. Where the QEMU may have the guest by then,
it is asked before anything is cancelled, and the sentence says what was seen
there."""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("qemu", shell_complete=addresses("qmp:", "ssh://"))
@archive_channels_option("multifd-channels to the QEMU, each with a thread that inflates.")
@ssh_options
@json_option()
def command(**options: Any) -> None:
    """Restore the guest saved in FILE into the QEMU at QEMU, which waits with -incoming defer.

    QEMU is qmp:PATH, qmp:HOST:PORT, or ssh://[USER@]HOST[:PORT]/PATH on a host that
    your ssh reaches and that has Ramferry too.
    The QEMU needs the machine type, devices, CPU and memory of the one that was
    saved, and its disks as they were at that moment. Every byte of FILE is checked
    before the guest can start.
    """
    from ramferry.cli.runs import restore

    restore.run(**options)
