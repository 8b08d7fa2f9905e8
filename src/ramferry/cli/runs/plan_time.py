"""What ``ramferry plan time`` does; its options are in ``cli.plan_time``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ramferry.allowance import allowed_cores
from ramferry.cli.json_file import JsonFile
from ramferry.cli.results import tell
from ramferry.cli.ssh_settings import ssh_settings
from ramferry.cli.terminal import terminal
from ramferry.codec import find_method
from ramferry.control.hosts.ssh import Ssh
from ramferry.control.hosts.ssh_uri import parse_ssh_host
from ramferry.control.link.there import probe_there
from ramferry.control.plan.course import TimeQuestion, plan_time
from ramferry.errors import UsageError
from ramferry.forecast.estimate import Conditions
from ramferry.forecast.sampling import SAMPLE
from ramferry.report.forecast import document, print_times
from ramferry.report.lines import Lines
from ramferry.transport.address import TcpAddress


def run(
    guest: str,
    link: float | TcpAddress | str,
    remote_command: str,
    data_address: str | None,
    port_range: tuple[int, int] | None,
    json_file: JsonFile | None,
    **wanted: Any,
) -> None:
    """Run it, with the values of its options."""
    uri = parse_ssh_host(link) if isinstance(link, str) else None
    settings = ssh_settings(uri, remote_command, data_address, port_range)
    known = 0.0 if isinstance(link, str) else link
    question = _question(guest, known, **wanted)
    with terminal() as at, ExitStack() as stack:
        if uri is not None:
            host = stack.enter_context(Ssh(uri, settings))
            question = replace(question, probe=stack.enter_context(probe_there(host)))
        with at.screen.status("") as status:
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
    sample: int | None,
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
        size=sample or SAMPLE,
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
        cores=cores or allowed_cores(),
        channels=channels,
        one_host=one_host,
        dirty_rate=dirty_rate or 0.0,
        downtime_limit_ms=downtime_limit,
    )
