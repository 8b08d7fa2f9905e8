"""``ramferry bench archives``: saving and restoring, beside what QEMU itself can do."""

from __future__ import annotations

import os

import click

from ramferry.bench.archives import ArchiveRig, Course, Way, folder_for, table, ways
from ramferry.bench.fill import data_files
from ramferry.bench.qemu import choose_qemu
from ramferry.cli.params import SIZE
from ramferry.cli.terminal import terminal
from ramferry.units import memory as of_memory
from ramferry.vocabulary import MAX_CHANNELS


@click.command()
@click.option(
    "--memory",
    type=SIZE,
    default=1 << 30,
    metavar="SIZE",
    help="The guest's RAM, held three times: 512M, 2G.  [default: 1G]",
)
@click.option(
    "--channels",
    type=click.IntRange(1, MAX_CHANNELS),
    default=4,
    show_default=True,
    help="multifd channels of ours; QEMU has one stream.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Runs of each way, interleaved.",
)
@click.option(
    "--qemu",
    metavar="VERSION",
    help="Which QEMU, as 7.2 or 10.0.  [default: the newest that is found]",
)
def command(memory: int, channels: int, repeat: int, qemu: str | None) -> None:
    """Compare `ramferry save` and `restore` with QEMU's own `exec:zstd -1` and `file:`.

    A stopped guest, filled with the files that RAMFERRY_DATA names (or generated data), is saved
    every way in turn, and every file restored into a fresh QEMU whose RAM is compared.
    """
    binary = choose_qemu(qemu, newest=True)
    files = data_files(os.environ.get("RAMFERRY_DATA", ""))
    courses: dict[Way, list[Course]] = {way: [] for way in ways(binary)}
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
