"""``ramferry doctor``: QAT, IAA and the QEMUs of this host, or of one that ssh reaches."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.json_option import json_option
from ramferry.cli.ssh_options import remote_command_option
from ramferry.cli.words import addresses


@click.command()
@click.argument("host", metavar="[ssh://HOST]", required=False, shell_complete=addresses("ssh://"))
@click.option(
    "--sysroot",
    default="/",
    metavar="DIR",
    help="Read every file below DIR, as from a copy of another host. Default: /.",
)
@click.option(
    "--user",
    metavar="NAME",
    help="Judge permissions for this user, as the one that QEMU runs as. Default: you.",
)
@remote_command_option
@json_option()
def command(**options: Any) -> None:
    """Find QAT and IAA devices, what is wrong with them, and the command that mends it.

    With ssh://[USER@]HOST[:PORT] on that host, which has Ramferry too, else on this one.

    Reads only what is safe to read on a busy host. Where the host has a QAT device, it also
    compresses 128 KiB on it and tells whether the device did it, unless --user is given. Exits with
    0 where QATzip in hardware or QPL is ready, 10 where there is no device and software does the
    work, 11 where the set-up is broken.
    """
    from ramferry.cli.runs import doctor

    doctor.run(**options)
