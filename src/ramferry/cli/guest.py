"""``ramferry guest``: a guest with QEMU's monitor, where there is no QEMU."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.params import RATE, SIZE, accelerator_option, decide_option, member_size_option
from ramferry.cli.tls_options import insecure_option, tls_authz_option, tls_creds_option
from ramferry.cli.words import RELAY_AT, addresses
from ramferry.vocabulary import PAGE_SIZE, PATTERNS, TRACKERS


@click.command()
@click.option(
    "--memory", type=SIZE, default="1G", show_default=True, metavar="SIZE", help="RAM: 512M, 2G."
)
@click.option(
    "--fill",
    "fills",
    default="generator",
    show_default=True,
    metavar="FILES|generator|zero",
    help="What the RAM holds: files, separated by colons, repeated until it is full; generated"
    " text, records and zero pages; or zeros. A guest that is to receive one holds zeros.",
)
@click.option(
    "--workload",
    type=click.Choice(["idle", *PATTERNS]),
    default="idle",
    show_default=True,
    help="Which pages the guest writes: none, one after another, at random, or at random with nine"
    " writes in ten to a tenth of the pages.",
)
@click.option(
    "--rate",
    type=RATE,
    default=100e6,
    metavar="RATE",
    help="Pages written by --workload, in bytes per second: 30M, 1Gbit.  [default: 100M]",
)
@click.option(
    "--changed",
    type=click.IntRange(16, PAGE_SIZE),
    default=64,
    show_default=True,
    metavar="BYTES",
    hidden=True,  # how well the written pages compress: tests choose it
    help="Bytes changed in each page written, a multiple of 8.",
)
@click.option(
    "--qmp",
    metavar="URI",
    shell_complete=addresses("qmp:"),
    help="Where the monitor listens: qmp:PATH or qmp:HOST:PORT.",
)
@click.option(
    "--incoming",
    metavar="URI|defer",
    shell_complete=addresses("defer", *RELAY_AT),
    help="Wait for a guest, at once at tcp:HOST:PORT, unix:PATH, tls:HOST:PORT or, from a"
    " Ramferry, relay:HOST:PORT; or by `migrate-incoming`.",
)
@tls_creds_option("For tls: and relay:, of `migrate` too.")
@tls_authz_option("a waiting guest")
@insecure_option(
    "Let the guest's memory travel in clear, to and from whoever connects, where tcp: or --qmp"
    " listens beyond this host, or relay: has no certificates."
)
@click.option("--paused", is_flag=True, help="Do not start the guest: `cont` does.")
@click.option(
    "--tracker",
    type=click.Choice(TRACKERS),
    default="auto",
    show_default=True,
    hidden=True,  # tests try either on one host
    help="How written pages are found: by the kernel (Linux 6.7 or newer), or by comparison.",
)
@decide_option()
@accelerator_option
@member_size_option(
    "auto: at relay: as both agree, else 64K, since the destination may have a device."
)
def command(**options: Any) -> None:
    """Run a guest that needs no QEMU: RAM, a workload, and QEMU's monitor.

    It is migrated as a QEMU is, by `ramferry migrate` or by hand: `migrate_set_parameter
    multifd-compression qatzip`, `migrate_set_parameter multifd-qatzip-level 1`, `migrate URI`. A
    URI can be tls:HOST:PORT or relay:HOST:PORT as well, which encrypt by --tls-creds.
    Its counter, which `x-query-guest` tells, goes on at the destination without a gap. Runs until
    `quit` or Ctrl-C; exits with 5 where a guest that was to come did not arrive.
    """
    from ramferry.cli.runs import guest

    guest.run(**options)
