"""What ``ramferry restore`` does; its options are in ``cli.restore``."""

from __future__ import annotations

from pathlib import Path

from ramferry.cli.json_file import JsonFile
from ramferry.cli.results import show_archive
from ramferry.cli.terminal import terminal
from ramferry.control.archive.callbacks import ArchiveHooks
from ramferry.control.archive.restore import restore
from ramferry.metrics import RelayCounters
from ramferry.report.archive import Activity


def run(file: Path, qemu: str, channels: int, json_file: JsonFile | None) -> None:
    """Run it, with the values of its options."""
    with terminal() as at, Activity(at.screen) as activity:

        def progress(counters: RelayCounters, live: int) -> None:
            activity.show(lambda: f"{100 * counters.normal_pages // max(live, 1)} % of the pages")

        hooks = ArchiveHooks(progress, at.note, at.stop, at.insist)
        result = restore(file, qemu, channels, hooks)
    show_archive(result, json_file)
