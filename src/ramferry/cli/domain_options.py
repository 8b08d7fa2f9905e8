"""The options of ``ramferry migrate`` that are for a libvirt domain."""

from __future__ import annotations

from typing import Any, Final

import click

from ramferry.cli.params import Command

_OPTIONS: Final[tuple[Any, ...]] = (
    click.option("--p2p", is_flag=True, help="With libvirt: the source's libvirt connects."),
    click.option(
        "--persistent", is_flag=True, help="With libvirt: define the domain at DESTINATION."
    ),
    click.option("--undefine-source", is_flag=True, help="With libvirt: forget it at the source."),
    click.option(
        "--unsafe", is_flag=True, help="With libvirt: put its doubts about disk caches aside."
    ),
    click.option(
        "--copy-storage",
        type=click.Choice(["all", "inc"]),
        help="With libvirt: copy disks too, which go past the relays, in clear.",
    ),
    click.option(
        "--disks-uri",
        metavar="URI",
        help="With --copy-storage: where to.  [default: tcp:// the address for data]",
    ),
    click.option(
        "--socket-folder",
        metavar="DIR",
        help="With libvirt: the folder, on both hosts, of the sockets between its QEMUs and"
        " relays.  [default: /var/lib/libvirt/qemu]",
    ),
)


def domain_options(command: Command) -> Command:
    """What libvirt is asked, and where its QEMUs meet relays."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
