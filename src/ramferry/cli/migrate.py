"""``ramferry migrate``: live-migrate a QEMU VM."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.domain_options import domain_options
from ramferry.cli.json_option import json_option
from ramferry.cli.params import (
    RATE,
    Seconds,
    accelerator_option,
    auto_level_option,
    cpu_limit_option,
    decide_option,
    downtime_limit_option,
    member_size_option,
    page_size_option,
)
from ramferry.cli.ssh_options import ssh_options
from ramferry.cli.tls_options import insecure_option, tls_creds_option
from ramferry.cli.words import addresses
from ramferry.control.migrate.on_stall import OnStall
from ramferry.control.migrate.relay_mode import RelayMode
from ramferry.vocabulary import MAX_CHANNELS, RELAY_METHODS

EPILOG = """\b
Exit codes: 0 migrated; 2 usage; 3 a QEMU, libvirt, a relay or the host of
ssh:// cannot be reached; 4 method not available; 5 migration failed, also
because a peer sent damaged data or what the protocol forbids, 6 cancelled:
the guest is at the source; 8 this host refuses; 9 a QEMU stopped answering,
or the switchover is not decided: the sentence says what was seen at both;
130 interrupted before it was at work."""


@click.command(epilog=EPILOG)
@click.argument("source", shell_complete=addresses("qmp:"))
@click.argument("destination", shell_complete=addresses("qmp:", "ssh://"))
@click.option(
    "--method",
    type=click.Choice(RELAY_METHODS),
    default="qatzip",
    show_default=True,
    help="multifd-compression on the wire between the hosts; auto, by relays on both, chooses for"
    " each packet; with --relay none it chooses a method of both QEMUs by a forecast, before the"
    " start.",
)
@auto_level_option(
    "a relay beside the source chooses each packet's, by the link, free cores and the pages, also"
    " where no relay stands at the destination."
)
@click.option(
    "--channels",
    type=click.IntRange(1, MAX_CHANNELS),
    default=8,
    show_default=True,
    help="multifd-channels, on both sides.",
)
@click.option(
    "--max-bandwidth",
    type=RATE,
    default=0.0,
    metavar="RATE",
    help="Cap in wire bytes per second, after compression: 125M, 1Gbit.  [default: no cap]",
)
@click.option(
    "--link",
    type=RATE,
    metavar="RATE",
    help="For --method auto with --relay none: what the link carries in bytes a second, 117M or"
    " 1Gbit; 0 where it limits nothing.  [default: --max-bandwidth]",
)
@downtime_limit_option
@click.option(
    "--on-stall",
    type=click.Choice([one.value for one in OnStall]),
    default=OnStall.WAIT.value,
    show_default=True,
    help="If for 40 s no less is left: wait, throttle the guest, pause it for the rest, or cancel.",
)
@click.option(
    "--timeout",
    type=Seconds(min=0, min_open=True),
    metavar="S",
    help="Seconds after which the migration is cancelled.  [default: none]",
)
@click.option(
    "--relay",
    type=click.Choice([mode.value for mode in RelayMode]),
    default=RelayMode.AUTO.value,
    show_default=True,
    help="Where relays stand; auto uses what a QEMU has built in, and relays for the rest.",
)
@cpu_limit_option
@page_size_option
@accelerator_option
@member_size_option(
    "For the source's relay; auto is one a packet if the destination's relay is started here too"
    " and sees no device, else 64K."
)
@click.option(
    "--via",
    metavar="HOST:PORT",
    help="A relay that runs beside a remote destination; relay:HOST:PORT encrypts and verifies.",
)
@tls_creds_option("For what goes from relay to relay.")
@insecure_option("Let relays that meet on two hosts do so in clear.")
@decide_option("For the relays that are started.")
@click.option(
    "--incoming",
    metavar="URI",
    shell_complete=addresses("tcp:", "unix:"),
    help="Where the destination QEMU is to listen: tcp:HOST:PORT or unix:PATH.",
)
@domain_options
@ssh_options
@json_option()
def command(**options: Any) -> None:
    """Live-migrate the guest of the QEMU at SOURCE to the QEMU at DESTINATION.

    Both are QMP addresses, qmp:PATH or qmp:HOST:PORT; DESTINATION can also be
    ssh://[USER@]HOST[:PORT]/PATH, a QMP socket on a host that your ssh reaches and
    that has Ramferry too. The destination waits with -incoming defer. Relays are
    started as needed beside local QEMUs, and on both hosts with ssh://; everything
    that is changed in a QEMU is set back at the end.

    SOURCE can be libvirt:DOMAIN (libvirt:///system?domain=NAME), and DESTINATION
    then qemu+ssh://[USER@]HOST[:PORT]/system: libvirt migrates the domain, through
    relays on both hosts.

    Ctrl-C, SIGTERM and a closed
    terminal cancel, and the guest stays at the source; once it stands still for the
    switchover both QEMUs are asked first, and a destination that has it keeps it. A
    second signal leaves at once what cannot be ended.
    """
    from ramferry.cli.runs import migrate

    migrate.run(**options)
