"""What ``ramferry guest`` does; its options are in ``cli.guest``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import psutil

from ramferry.bench.fill import data_files, fill
from ramferry.cli.interrupt import Wish, stop_on_signals
from ramferry.cli.line_writer import LineWriter
from ramferry.cli.tls_settings import refuse_idle_authz, refuse_idle_creds, tls_settings
from ramferry.codec import check_members
from ramferry.control.qemu.uri import parse_qmp
from ramferry.errors import HostError, MigrationFailed, UsageError
from ramferry.guest.errors import MonitorError
from ramferry.guest.events import NOTE
from ramferry.guest.monitor import Monitor
from ramferry.guest.settings import GuestSettings
from ramferry.guest.uri import parse
from ramferry.guest.vm import Vm
from ramferry.guest.workload import Workload
from ramferry.patience import Patience
from ramferry.transport.address import Address, TcpAddress, UnixAddress
from ramferry.transport.security import Security
from ramferry.vocabulary import PAGE_SIZE, Wanted

_LAST_WORDS: Final = 2.0
"""Seconds that an ending guest waits for the reader of its notes."""


def run(
    memory: int, fills: str, qmp: str | None, incoming: str | None, paused: bool, **more: Any
) -> None:
    """Run it, with the values of its options."""
    settings = _settings(memory, **more)
    address = None if qmp is None else _monitor_address(qmp)
    if address is None and incoming in (None, "defer"):
        raise UsageError("nobody could reach this guest: name a monitor with --qmp qmp:PATH")
    waits = None if incoming is None or incoming == "defer" else _parsed(incoming)
    _refuse_idle(settings.security, waits, leaves=incoming is None, monitored=address is not None)
    _check_room(memory)
    vm = Vm(settings, incoming=incoming is not None)
    try:
        if incoming is None:
            _fill(vm, fills)
        _run(vm, address, waits, begins=incoming is None and not paused)
    finally:
        vm.close()
    if vm.failure:
        raise MigrationFailed(f"the guest did not arrive: {vm.failure}")


def _settings(
    memory: int,
    workload: str,
    rate: float,
    changed: int,
    tracker: Wanted,
    tls_creds: Path | None,
    tls_authz: tuple[str, ...],
    insecure: bool,
    decide: float,
    **codec: str,
) -> GuestSettings:
    """
    :param codec: options that the settings have by the same names.
    :raise UsageError: a value does not fit, or two of them do not fit together.
    """
    if memory % PAGE_SIZE:
        raise UsageError("--memory must be whole pages of 4 KiB")
    check_members("qatzip", codec["member_size"], codec["accelerator"])
    return GuestSettings(
        memory,
        Workload() if workload == "idle" else _workload(workload, rate, changed),
        tracker,
        **codec,
        decide=decide,
        security=tls_settings(tls_creds, tls_authz, insecure),
    )


def _refuse_idle(
    security: Security, waits: Address | None, *, leaves: bool, monitored: bool
) -> None:
    """
    :param waits: where it waits for a guest at once; None: nowhere, or not yet.
    :param leaves: whether it is a guest of its own, for which no other is waited.
    :param monitored: whether further addresses may come by the monitor.
    :raise UsageError: an option of TLS can have no effect.
    """
    if leaves and security.allowed:
        raise UsageError(
            "--tls-authz checks the certificates of those who connect, and this guest waits for"
            " nobody: add --incoming"
        )
    if waits is None:
        return
    refuse_idle_authz(security, waits)
    if not monitored:
        refuse_idle_creds(security, waits)


def _parsed(uri: str) -> Address:
    try:
        return parse(uri)
    except MonitorError as error:
        raise UsageError(str(error)) from error


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


def _run(vm: Vm, address: Address | None, waits: Address | None, *, begins: bool) -> None:
    stop = Wish()
    # before anyone can know that the guest is there, and end it
    with stop_on_signals(stop), _notes(vm):
        monitor = None if address is None else Monitor(vm, address)
        try:
            if waits is not None:
                _listen(vm, waits)
            elif begins:
                vm.cont()
            where = "" if monitor is None else f", monitor at {monitor.address}"
            click.echo(f"built-in guest {os.getpid()} is {vm.state}{where}", err=True)
            while not vm.ended.wait(0.2) and not stop.is_set():
                pass
        finally:
            if monitor is not None:
                monitor.close()


@contextmanager
def _notes(vm: Vm) -> Iterator[None]:
    """Show sentences about the guest's migrations on standard error, without waiting for its
    reader."""
    if sys.stderr is None:
        yield
        return
    writer = LineWriter(sys.stderr.fileno())

    def told(event: str, data: Mapping[str, object]) -> None:
        if event == NOTE:
            writer.say(f"ramferry guest: {data['text']}")

    end = vm.events.listen(told)
    try:
        yield
    finally:
        end()
        writer.close(Patience(_LAST_WORDS))


def _listen(vm: Vm, address: Address) -> None:
    try:
        vm.migrate_incoming(address)
    except MonitorError as error:
        kind = HostError if isinstance(error.__cause__, HostError) else UsageError
        raise kind(str(error)) from error
