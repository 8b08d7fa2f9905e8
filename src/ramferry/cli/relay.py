"""``ramferry relay``: one transcoding relay."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, Any
from uuid import UUID

import click

from ramferry import interruption
from ramferry.cli.params import RATE, Seconds, accelerator_option, page_size_option
from ramferry.errors import Cancelled, UsageError
from ramferry.flows.relay import Relay
from ramferry.flows.session import RelaySettings
from ramferry.metrics import RelayCounters, RelayResult
from ramferry.transport.address import Address, parse_address


class _Printer:
    """Sentences on stderr; JSON lines on stdout and results in a file where asked for."""

    def __init__(self, *, events: bool, results: IO[str] | None) -> None:
        self._events = events
        self._results = results

    def listening(self, address: Address) -> None:
        self._emit("listening", {"uri": str(address)})
        if not self._events:
            self.note(f"listening on {address}")

    def progress(self, counters: RelayCounters) -> None:
        self._emit("progress", asdict(counters))

    def finished(self, result: RelayResult) -> None:
        fields = asdict(result)
        fields["counters"]["ratio"] = result.counters.ratio
        self._emit("finished", fields)
        if self._results is not None:
            self._write(self._results, json.dumps(fields) + "\n")
        self.note(_sentence(result))

    def _write(self, results: IO[str], line: str) -> None:
        try:
            results.write(line)
            results.flush()
        except OSError as error:
            self.note(f"the result could not be written: {error.strerror}")

    def note(self, text: str) -> None:
        try:
            print(f"ramferry relay: {text}", file=sys.stderr, flush=True)
        except OSError:
            # a terminal or log that went away is no reason to drop a guest on its way; what is
            # left in its buffer would fail again at the end and become the exit code
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process

    def _emit(self, event: str, fields: dict[str, Any]) -> None:
        if not self._events:
            return
        try:
            print(json.dumps({"event": event, **fields}), flush=True)
        except OSError:
            # where a pipe broke, the loop watches it and ends the relay in the right order
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process


def _sentence(result: RelayResult) -> str:
    if not result.completed:
        return f"failed: {result.error}"
    counters = result.counters
    methods = f"{result.method_in or 'no data'} → {result.method_out}"
    return (
        f"carried {counters.guest_bytes / 1e6:.0f} MB of pages as "
        f"{counters.bytes_out / 1e6:.0f} MB in {counters.seconds:.1f} s "
        f"({methods}, {result.backend or 'no codec'})"
    )


@click.command()
@click.argument("listen")
@click.argument("connect")
@click.option(
    "--method",
    required=True,
    type=click.Choice(["none", "zlib", "zstd", "qatzip", "qpl", "uadk"]),
    help="multifd-compression of the outgoing side; the incoming side's is seen on the wire.",
)
@click.option("--level", type=int, help="Level of the method; its QEMU default where left out.")
@click.option(
    "--channels",
    type=click.IntRange(1, 255),
    help="multifd-channels of the source; checked. Default: as many as it opens.",
)
@click.option(
    "--max-bandwidth",
    type=RATE,
    default=0.0,
    metavar="RATE",
    help="Cap on the outgoing side in wire bytes per second (125M, 1Gbit). Default: none.",
)
@page_size_option
@accelerator_option
@click.option(
    "--stall-timeout",
    type=Seconds(min=0.1),
    default=60.0,
    show_default=True,
    help="Seconds after which a peer that stopped in the middle of something is given up.",
)
@click.option(
    "--uuid",
    type=click.UUID,
    help="The destination's -uuid, sent in place of the source's: a destination with another one "
    "refuses every channel.",
)
@click.option("--once", is_flag=True, help="Carry one migration, then exit with its code.")
@click.option(
    "--json",
    "json_file",
    type=click.File("a"),
    metavar="FILE",
    help="Append each migration's result as one line of JSON.",
)
@click.option("--events", is_flag=True, help="Print progress and results as JSON lines on stdout.")
def command(
    listen: str,
    connect: str,
    method: str,
    level: int | None,
    channels: int | None,
    max_bandwidth: float,
    page_size: str,
    accelerator: str,
    stall_timeout: float,
    uuid: UUID | None,
    once: bool,
    json_file: IO[str] | None,
    events: bool,
) -> None:
    """Carry migrations that arrive at LISTEN on to CONNECT, in another compression method.

    LISTEN and CONNECT are QEMU's migration URIs, tcp:HOST:PORT or unix:PATH. Point the source's
    migration at LISTEN; a QEMU destination, or another relay, waits at CONNECT. Where the method
    stays the same, checked bytes go on as they came.
    """
    if events and sys.stdout is None:
        raise UsageError("--events writes to standard output, which is closed")
    settings = RelaySettings(
        listen=parse_address(listen),
        connect=parse_address(connect),
        method=method,
        level=level,
        channels=channels,
        max_bandwidth=max_bandwidth,
        page_size=int(page_size),
        stall_timeout=stall_timeout,
        accelerator=accelerator,
        uuid=uuid.bytes if uuid else None,
    )
    # Handled before anything listens, or a signal between would leave the socket's path behind.
    # Blocking them instead would not do: a library's thread that does not block them gets them.
    early: list[str] = []
    stop: Callable[[str], None] = early.append
    interruption.handle(lambda got, _: stop(signal.Signals(got).name))
    relay = Relay(settings, _Printer(events=events, results=json_file))
    stop = relay.stop
    for reason in early:
        stop(reason)
    if events:
        relay.watch_parent(sys.stdout.fileno())
    result = relay.run(once=once)
    if not once:
        return
    if result is None:
        raise Cancelled("ended before any migration came")
    sys.exit(result.exit_code)
