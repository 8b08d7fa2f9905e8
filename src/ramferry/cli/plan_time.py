"""``ramferry plan time``: how long a migration would take, by each method."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ramferry.cli.json_file import JsonFile, json_option
from ramferry.cli.params import (
    LINK,
    RATE,
    SIZE,
    accelerator_option,
    channels_option,
    downtime_limit_option,
    page_size_option,
)
from ramferry.cli.results import tell
from ramferry.cli.terminal import terminal
from ramferry.codec import METHODS, find_method
from ramferry.control.plan.course import TimeQuestion, plan_time
from ramferry.errors import UsageError
from ramferry.forecast.estimate import Conditions
from ramferry.forecast.sampling import SAMPLE
from ramferry.report.forecast import document, print_times
from ramferry.report.lines import Lines
from ramferry.transport.address import TcpAddress

EPILOG = """\b
Exit codes: 0 forecast, also where no method converges; 2 usage; 3 no QEMU
answers; 4 it lacks a command; 6 interrupted; 8 it, or this user, may not."""


@click.command(epilog=EPILOG)
@click.argument("guest", metavar="qmp:PATH|RAMFILE")
@click.option(
    "--link",
    type=LINK,
    required=True,
    metavar="RATE|probe:HOST:PORT",
    help="What the link carries in bytes a second: 117M, 1Gbit; 0 where it limits nothing. Or where"
    " `ramferry plan link` waits for a probe, which fills the link for a second.",
)
@click.option(
    "--cores",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="Cores that each side may spend.  [default: those this command may run on]",
)
@click.option(
    "--one-host",
    is_flag=True,
    help="The destination is on this host: both sides share the cores.",
)
@channels_option
@click.option(
    "--methods",
    default=",".join(METHODS),
    show_default=True,
    metavar="M,M,…",
    help="What to compare, each at its default level; none is always among them.",
)
@click.option(
    "--dirty-rate",
    type=RATE,
    metavar="RATE",
    help="Guest memory that is dirtied, in bytes a second.  [default: 0, as of an idle guest]",
)
@click.option(
    "--measure-dirty",
    type=click.IntRange(1, 60),
    metavar="SECONDS",
    help="Have QEMU measure that for so many seconds.  [default: not]",
)
@downtime_limit_option
@click.option(
    "--sample",
    type=SIZE,
    default=SAMPLE,
    metavar="SIZE",
    help="Memory to look at, in pieces of 256 KiB from all over the guest.  [default: 64M]",
)
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder where the QEMU may write a piece of memory for a moment.  [default: /dev/shm]",
)
@page_size_option
@accelerator_option
@json_option()
def command(guest: str, json_file: JsonFile | None, **wanted: Any) -> None:
    """Forecast a migration before it runs: time, downtime, CPU and wire bytes of each method.

    Reads a sample of the guest's memory, of the QEMU at qmp:PATH (also qmp:HOST:PORT of this host)
    or from a file with its RAM, and compresses it on this host with every method. A QEMU's guest
    runs on meanwhile. Times are for a pair of relays, a destination as fast as this host, and
    destination memory that is preallocated.
    """
    question = _question(guest, **wanted)
    with terminal() as at, at.screen.status("") as status:
        plan = plan_time(question, status.update, at.stop)
    tell(
        document(plan),
        json_file,
        lambda out: print_times(plan, Lines(Console(file=out, highlight=False))),
    )


def _question(
    guest: str,
    link: float | TcpAddress,
    methods: str,
    dirty_rate: float | None,
    measure_dirty: int | None,
    sample: int,
    scratch: Path | None,
    page_size: str,
    accelerator: str,
    **conditions: Any,
) -> TimeQuestion:
    """:raise UsageError: options contradict each other, or there is no such method."""
    if dirty_rate is not None and measure_dirty is not None:
        raise UsageError("--dirty-rate gives what --measure-dirty would measure: take one of them")
    names = [find_method(name.strip()).name for name in methods.split(",")]
    return TimeQuestion(
        guest,
        _conditions(link, dirty_rate, **conditions),
        methods=tuple((name, None) for name in dict.fromkeys(names)),
        probe=link if isinstance(link, TcpAddress) else None,
        dirty_from=_dirty_from(dirty_rate, measure_dirty),
        measure_dirty=measure_dirty or 0,
        size=sample,
        scratch=scratch,
        page_size=int(page_size),
        accelerator=accelerator,
    )


def _dirty_from(dirty_rate: float | None, measure_dirty: int | None) -> str:
    if measure_dirty is not None:
        return "measured"
    return "assumed" if dirty_rate is None else "given"


def _conditions(
    link: float | TcpAddress,
    dirty_rate: float | None,
    cores: int | None,
    one_host: bool,
    channels: int,
    downtime_limit: int,
) -> Conditions:
    return Conditions(
        link_rate=link if isinstance(link, float) else 0.0,
        cores=cores or len(os.sched_getaffinity(0)),
        channels=channels,
        one_host=one_host,
        dirty_rate=dirty_rate or 0.0,
        downtime_limit_ms=downtime_limit,
    )
