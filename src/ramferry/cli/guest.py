"""``ramferry guest``: a guest with QEMU's monitor, where there is no QEMU."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import click
import psutil

from ramferry.bench.fill import data_files, fill
from ramferry.cli.interrupt import stop_on_signals
from ramferry.cli.params import RATE, SIZE, accelerator_option
from ramferry.control.qemu.uri import parse_qmp
from ramferry.errors import HostError, MigrationFailed, UsageError
from ramferry.guest.errors import MonitorError
from ramferry.guest.monitor import Monitor
from ramferry.guest.uri import parse
from ramferry.guest.vm import GuestSettings, Vm
from ramferry.guest.workload import PATTERNS, Workload
from ramferry.ram.dirty import TRACKERS, Wanted
from ramferry.transport.address import Address, TcpAddress, UnixAddress
from ramferry.vocabulary import PAGE_SIZE


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
@click.option("--qmp", metavar="URI", help="Where the monitor listens: qmp:PATH or qmp:HOST:PORT.")
@click.option(
    "--incoming",
    metavar="URI|defer",
    help="Wait for a guest, at once at tcp:HOST:PORT or unix:PATH, or by `migrate-incoming`.",
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
@accelerator_option
def command(
    memory: int,
    fills: str,
    workload: str,
    rate: float,
    changed: int,
    qmp: str | None,
    incoming: str | None,
    paused: bool,
    tracker: Wanted,
    accelerator: str,
) -> None:
    """Run a guest that needs no QEMU: RAM, a workload, and QEMU's monitor.

    It is migrated as a QEMU is, by `ramferry migrate` or by hand: `migrate_set_parameter
    multifd-compression qatzip`, `migrate_set_parameter multifd-qatzip-level 1`, `migrate URI`.
    Its counter, which `x-query-guest` tells, goes on at the destination without a gap. Runs until
    `quit` or Ctrl-C; exits with 5 where a guest that was to come did not arrive.
    """
    if memory % PAGE_SIZE:
        raise UsageError("--memory must be whole pages of 4 KiB")
    work = Workload() if workload == "idle" else _workload(workload, rate, changed)
    address = None if qmp is None else _monitor_address(qmp)
    if address is None and incoming in (None, "defer"):
        raise UsageError("nobody could reach this guest: name a monitor with --qmp qmp:PATH")
    _check_room(memory)
    vm = Vm(GuestSettings(memory, work, tracker, accelerator), incoming=incoming is not None)
    try:
        if incoming is None:
            _fill(vm, fills)
        _run(vm, address, incoming, paused)
    finally:
        vm.close()
    if vm.failure:
        raise MigrationFailed(f"the guest did not arrive: {vm.failure}")


def _check_room(memory: int) -> None:
    """:raise HostError: a guest that fills its memory would be killed, or others for it."""
    left = psutil.virtual_memory().available
    if memory > left:
        raise HostError(
            f"this host has {left >> 20} MiB of memory left, and the guest's RAM takes"
            f" {memory >> 20} MiB"
        )


def _workload(pattern: str, rate: float, changed: int) -> Workload:
    return Workload(rate, pattern, changed)  # type: ignore[arg-type] # a choice of click's


def _monitor_address(uri: str) -> Address:
    place = parse_qmp(uri)
    return UnixAddress(place) if isinstance(place, str) else TcpAddress(*place)


def _fill(vm: Vm, fills: str) -> None:
    if fills == "zero":
        return
    files: tuple[Path, ...] = () if fills == "generator" else data_files(fills, "--fill")
    if not files and fills != "generator":
        raise UsageError("--fill names no file: leave it out for generated data")
    for block in vm.ram.blocks.values():
        fill(block.pages.reshape(-1), files=files, low=0)


def _run(vm: Vm, address: Address | None, incoming: str | None, paused: bool) -> None:
    stop = threading.Event()
    with stop_on_signals(stop):  # before anyone can know that the guest is there, and end it
        monitor = None if address is None else Monitor(vm, address)
        try:
            if incoming not in (None, "defer"):
                _listen(vm, incoming or "")
            elif incoming is None and not paused:
                vm.cont()
            where = "" if monitor is None else f", monitor at {monitor.address}"
            click.echo(f"built-in guest {os.getpid()} is {vm.state}{where}", err=True)
            while not vm.ended.wait(0.2) and not stop.is_set():
                pass
        finally:
            if monitor is not None:
                monitor.close()


def _listen(vm: Vm, uri: str) -> None:
    try:
        vm.migrate_incoming(parse(uri))
    except MonitorError as error:
        kind = HostError if isinstance(error.__cause__, HostError) else UsageError
        raise kind(str(error)) from error
