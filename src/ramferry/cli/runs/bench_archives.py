"""What ``ramferry bench archives`` does; its options are in ``cli.bench_archives``."""

from __future__ import annotations

import os

import click

from ramferry.bench.archive_ways import Way, ways
from ramferry.bench.archives import ArchiveRig, Course, folder_for, table
from ramferry.bench.fill import data_files
from ramferry.bench.qemu import choose_qemu
from ramferry.cli.terminal import terminal
from ramferry.units import memory as of_memory


def run(memory: int, channels: int, repeat: int, qemu: str | None) -> None:
    """Run it, with the values of its options."""
    binary = choose_qemu(qemu, newest=True)
    files = data_files(os.environ.get("RAMFERRY_DATA", ""))
    able, lacking = ways(binary)
    courses: dict[Way, list[Course]] = {way: [] for way in able}
    folder = folder_for(memory)
    with terminal() as at, ArchiveRig(binary, memory, folder, files) as rig:
        for repetition in range(repeat + 1):
            label = f"run {repetition} of {repeat}" if repetition else "warm-up"
            for way, done in courses.items():
                at.say(f"{label}: {way.name}")
                course = rig.course(way, channels, at.stop)
                if repetition:
                    done.append(course)
    click.echo(
        f"{of_memory(memory)} guest, stopped, QEMU {binary.name}, {channels} channels, medians of"
        f" {repeat} (least-greatest), files in {folder}; ours are checked and synced"
    )
    click.echo(table(courses), nl=False)
    for sentence in lacking:
        click.echo(sentence)
