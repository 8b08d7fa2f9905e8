"""``ramferry relay``: one transcoding relay."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.config_file import Configured, config_option
from ramferry.cli.json_option import json_option
from ramferry.cli.params import (
    RATE,
    Seconds,
    accelerator_option,
    auto_level_option,
    cpu_limit_option,
    decide_option,
    member_size_option,
    page_size_option,
)
from ramferry.cli.tls_options import insecure_option, tls_authz_option, tls_creds_option
from ramferry.cli.words import RELAY_AT, addresses
from ramferry.vocabulary import MAX_CHANNELS, MAX_MIGRATIONS, RELAY_METHODS

EPILOG = """\b
Exit codes, with --once: 0 carried; 2 usage; 3 a peer cannot be reached, or
is neither a QEMU nor a relay; 4 the device that --accelerator requires is
not there; 5 the migration failed, 6 cancelled, also before one came: the
guest is at the source, or where the sentence says to look; 7 a peer sent
what the protocol forbids; 8 this host refuses (address in use); 9 a peer
stopped in the middle; 130 interrupted before it was at work: it did not
listen yet.
Without --once 0, unless it could not begin."""


@click.command(cls=Configured, epilog=EPILOG)
@click.argument("listen", shell_complete=addresses(*RELAY_AT))
@click.argument("connect", shell_complete=addresses(*RELAY_AT))
@click.option(
    "--method",
    required=True,
    type=click.Choice(RELAY_METHODS),
    help="multifd-compression of the outgoing side; the incoming side's is seen on the wire. auto,"
    " where CONNECT is relay:, chooses one for each packet, by the link, the cores that are free on"
    " both hosts, and the pages.",
)
@auto_level_option(
    "chosen for each packet, by the link, the cores that are free, and the pages; zstd, zlib and"
    " qatzip have that, also where a QEMU waits at CONNECT."
)
@click.option(
    "--channels",
    type=click.IntRange(1, MAX_CHANNELS),
    help="multifd-channels of the source; checked. Default: as many as it opens. Where it opens"
    " none: connections of the plain stream to the relay at the far end. Default: 4.",
)
@click.option(
    "--max-bandwidth",
    type=RATE,
    default=0.0,
    metavar="RATE",
    help="Cap on the outgoing side in wire bytes per second (125M, 1Gbit), shared fairly by the"
    " migrations under way. Default: none.",
)
@click.option(
    "--max-migrations",
    type=click.IntRange(1, MAX_MIGRATIONS),
    default=1,
    show_default=True,
    help="Most migrations that are carried at a time; one more is refused.",
)
@cpu_limit_option
@page_size_option
@accelerator_option
@member_size_option("auto: at relay: as both agree, else 64K, since the far end may have a device.")
@click.option(
    "--stall-timeout",
    type=Seconds(min=0.1),
    default=60.0,
    show_default=True,
    help="Seconds after which a peer that stopped in the middle of something is given up.",
)
@decide_option()
@click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Check every packet from source to destination by digests. Takes a Ramferry at the far end"
    " (relay:) that does not have --no-verify.",
)
@click.option(
    "--uuid",
    type=click.UUID,
    help="The destination's -uuid, sent in place of the source's: a destination with another one "
    "refuses every channel.",
)
@click.option(
    "--allow-no-return-path",
    is_flag=True,
    help="Carry a plain stream whose source has no return path, for the relay that meets the"
    " source. It risks the guest, as an ssh tunnel does: the source lets go of it once it has"
    " written all; if the link or the destination fails then, it runs nowhere, until `cont` at the"
    " source. The last bytes go on only after the far side has taken all others.",
)
@click.option(
    "--any-stream",
    is_flag=True,
    help="Carry every connection as bytes, and connect onward at once, also for one that says"
    " nothing (an NBD server speaks first). For both relays; a port probe gets through as well.",
)
@tls_creds_option("For tls: and relay:.")
@click.option(
    "--tls-creds-fd",
    type=click.IntRange(min=0),
    hidden=True,
    help="Pipe by which credentials of this one migration come, from the ramferry that made them.",
)
@tls_authz_option("LISTEN")
@insecure_option(
    "Let a guest's memory travel in clear, to and from whoever connects, where tcp: listens beyond "
    "this host, or relay: has no certificates."
)
@click.option("--once", is_flag=True, help="Carry one migration, then exit with its code.")
@json_option(
    "Append each migration's result as one line of JSON; - for standard output.", click.File("a")
)
@click.option(
    "--hold-source",
    type=Seconds(min=0.0),
    default=0.0,
    show_default=True,
    metavar="S",
    help="If a migration fails before its switchover: most seconds to leave the source its"
    " connections, or until it ends them itself, so that whoever reads --events can cancel it at"
    " the source before they break.",
)
@click.option("--events", is_flag=True, help="Print progress and results as JSON lines on stdout.")
@click.option(
    "--drain",
    type=Seconds(min=0.0),
    default=0.0,
    show_default=True,
    metavar="S",
    help="Seconds that a migration under way may go on after a signal to stop; no new one is taken."
    " A second signal cancels it sooner.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What is said on standard error: sentences, or a JSON object each, with the migration's"
    " id and the guest's UUID. systemd's journal gets these as fields.",
)
@click.option(
    "--metrics",
    metavar="ADDRESS",
    help="Serve metrics for Prometheus at HOST:PORT or unix:PATH, in clear, to whoever asks; they"
    " hold no guest's memory. 127.0.0.1:19470, say. Default: none.",
)
@config_option()
def command(**options: Any) -> None:
    """Carry migrations that arrive at LISTEN on to CONNECT, in another compression method.

    LISTEN and CONNECT are migration URIs: tcp:HOST:PORT or unix:PATH, as QEMU's; tls:HOST:PORT
    where it has tls-creds; or relay:HOST:PORT or relay:unix:PATH where the far end is a Ramferry.
    Between two Ramferrys a migration without multifd, or any other stream, is carried too.
    Point the source's migration at LISTEN; a QEMU destination, or another relay, waits at CONNECT.
    Where the method stays the same, checked bytes go on as they came.

    {uuid} in CONNECT's UNIX path stands for the guest's UUID, as its multifd channels tell it:
    unix:/run/guests/{uuid}.sock leads each of several guests to its own QEMU.

    SIGTERM and SIGINT end it, SIGUSR1 has it read the certificates again.
    """
    from ramferry.cli.runs import relay

    relay.run(**options)
