"""``ramferry save``: a VM's state into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ramferry.cli.json_option import json_option
from ramferry.cli.params import Seconds, archive_channels_option, level_option
from ramferry.cli.ssh_options import remote_command_option
from ramferry.cli.words import addresses
from ramferry.vocabulary import METHOD_FLAGS

EPILOG = """\b
Exit codes: 0 saved; 2 usage; 3 the QEMU does not answer, or has ended; 4 it
cannot do what is needed; 5 not saved; 6 cancelled, by a signal, --timeout or
somebody at the QEMU; 7 the QEMU sent what cannot be; 8 this host refuses
(disk full); 9 the QEMU stopped in the middle; 130 interrupted before it was
at work. Where there is no file the sentence says so, and how the guest is.
Once FILE has its name it is too late to cancel: 0."""


@click.command(epilog=EPILOG)
@click.argument("qemu", shell_complete=addresses("qmp:", "ssh://"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--method",
    type=click.Choice(list(METHOD_FLAGS)),
    default="zstd",
    show_default=True,
    help="Compression of the file.",
)
@level_option
@archive_channels_option(
    "Threads that compress, each with a multifd channel from QEMU 8.1 on; older ones send "
    "one stream."
)
@click.option(
    "--resume",
    is_flag=True,
    help="Have the guest as it was: one that ran runs on, which is refused with writable disks "
    "unless with --disk-snapshot.",
)
@click.option("--stop", is_flag=True, help="Stop the guest first: it stands still all the while.")
@click.option(
    "--stop-after",
    type=click.IntRange(min=1),
    metavar="ROUNDS",
    help="Stop the guest once so many rounds in a row did not bring the save nearer to its end.  "
    "[default: say so, and go on]",
)
@click.option(
    "--timeout",
    type=Seconds(min=0, min_open=True),
    metavar="S",
    help="Seconds after which the save is cancelled.  [default: none]",
)
@click.option(
    "--disk-snapshot",
    is_flag=True,
    help="Keep the images of writable disks as they are at the save: the guest goes on in an "
    "overlay beside each, IMAGE.overlay-N.qcow2.",
)
@remote_command_option
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
@json_option()
def command(**options: Any) -> None:
    """Save the state of the guest of the QEMU at QEMU, qmp:PATH or qmp:HOST:PORT, in FILE.

    QEMU can also be ssh://[USER@]HOST[:PORT]/PATH, on a host that your ssh reaches
    and that has Ramferry too: the state comes through ssh, compressed there.
    A running guest is saved while it runs, and stands still at the end: memory
    without the disks of the same moment is no state. One that writes faster than
    it is saved has to be stopped (--stop, --stop-after). FILE appears when it is
    complete and on disk; whatever goes wrong before leaves no file, and the
    guest as it was, or, once --disk-snapshot took its snapshot, on overlays.
    """
    from ramferry.cli.runs import save

    save.run(**options)
