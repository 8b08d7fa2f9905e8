"""What ``ramferry restore`` does; its options are in ``cli.restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ramferry.cli.json_file import JsonFile
from ramferry.cli.results import show_archive
from ramferry.cli.runs.domains import refuse_restore
from ramferry.cli.ssh_settings import ssh_settings
from ramferry.cli.terminal import terminal
from ramferry.control.archive.callbacks import ArchiveHooks
from ramferry.control.archive.restore import restore
from ramferry.control.hosts.host import HERE
from ramferry.control.hosts.ssh import host_at
from ramferry.control.hosts.ssh_uri import is_ssh, parse_ssh
from ramferry.metrics import RelayCounters
from ramferry.report.archive import Activity


def run(file: Path, qemu: str, channels: int, json_file: JsonFile | None, **by_ssh: Any) -> None:
    """Run it, with the values of its options.

    :param by_ssh: the options of a way by ssh.
    """
    refuse_restore(qemu)
    uri = parse_ssh(qemu) if is_ssh(qemu) else None
    settings = ssh_settings(uri, **by_ssh)
    with (
        host_at(uri, settings, HERE) as host,
        terminal() as at,
        Activity(at.screen) as activity,
    ):

        def progress(counters: RelayCounters, live: int) -> None:
            activity.show(lambda: f"{100 * counters.normal_pages // max(live, 1)} % of the pages")

        hooks = ArchiveHooks(progress, at.note, at.stop, at.insist)
        result = restore(file, qemu, channels, hooks, host)
    show_archive(result, json_file)
