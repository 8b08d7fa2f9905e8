"""What ``ramferry save`` does; its options are in ``cli.save``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ramferry.cli.json_file import JsonFile
from ramferry.cli.results import show_archive
from ramferry.cli.runs.domains import refuse_save
from ramferry.cli.ssh_settings import ssh_settings
from ramferry.cli.terminal import terminal
from ramferry.codec import find_method
from ramferry.control.archive.callbacks import ArchiveHooks
from ramferry.control.archive.save import save
from ramferry.control.archive.wish import SaveWish
from ramferry.control.hosts.host import HERE
from ramferry.control.hosts.ssh import host_at
from ramferry.control.hosts.ssh_uri import is_ssh, parse_ssh
from ramferry.errors import UsageError
from ramferry.metrics import RelayCounters
from ramferry.report.archive import Activity
from ramferry.units import memory


def run(
    qemu: str, file: Path, json_file: JsonFile | None, remote_command: str, **wanted: Any
) -> None:
    """Run it, with the values of its options."""
    refuse_save(qemu)
    wish = _wish(file, **wanted)
    uri = parse_ssh(qemu) if is_ssh(qemu) else None
    settings = ssh_settings(uri, remote_command, through_ssh=uri is not None)
    with (
        host_at(uri, settings, HERE) as host,
        terminal() as at,
        Activity(at.screen) as activity,
    ):

        def progress(counters: RelayCounters, size: int) -> None:
            activity.show(
                lambda: f"{memory(counters.normal_bytes)} → {memory(size)}, round {counters.rounds}"
            )

        result = save(qemu, wish, ArchiveHooks(progress, at.note, at.stop, at.insist), host)
    show_archive(result, json_file)


def _wish(
    file: Path,
    method: str,
    level: int | None,
    channels: int,
    resume: bool,
    stop: bool,
    stop_after: int | None,
    timeout: float | None,
    disk_snapshot: bool,
    force: bool,
) -> SaveWish:
    """:raise UsageError: the method has no such level, or the file is standard output."""
    if str(file) == "-":
        raise UsageError("a save file is no stream, so it cannot go to standard output: name FILE")
    find_method(method).level(level)
    return SaveWish(
        file,
        method,
        level,
        channels,
        replace=force,
        resume=resume,
        disk_snapshot=disk_snapshot,
        stop=stop,
        stop_after=stop_after,
        timeout=timeout,
    )
