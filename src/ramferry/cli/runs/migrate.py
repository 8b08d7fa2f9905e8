"""What ``ramferry migrate`` does; its options are in ``cli.migrate``."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from ramferry.cli.json_file import JsonFile
from ramferry.cli.live import live_hooks
from ramferry.cli.params import level_of
from ramferry.cli.results import show
from ramferry.cli.runs.migrate_ahead import chosen, chosen_ahead
from ramferry.cli.runs.migrate_libvirt import (
    DOMAIN_ALONE,
    domain_wish,
    migrate_libvirt,
    refuse_domain,
)
from ramferry.cli.ssh_settings import ssh_settings
from ramferry.cli.terminal import Terminal, terminal
from ramferry.codec import check_choice, check_members, find_method
from ramferry.control.hosts.addresses import relay_uri
from ramferry.control.hosts.host import HERE, Hosts
from ramferry.control.hosts.ssh import host_at
from ramferry.control.hosts.ssh_uri import SshUri, is_ssh, parse_ssh
from ramferry.control.libvirt.uri import is_libvirt
from ramferry.control.migrate.course import migrate
from ramferry.control.migrate.on_stall import OnStall
from ramferry.control.migrate.route import RelayMode, Wish
from ramferry.errors import UsageError
from ramferry.metrics import MigrationResult
from ramferry.report.progress import Progress
from ramferry.transport.address import parse_place
from ramferry.vocabulary import AUTO


def run(
    source: str,
    destination: str,
    timeout: float | None,
    json_file: JsonFile | None,
    remote_command: str,
    data_address: str | None,
    port_range: tuple[int, int] | None,
    through_ssh: bool,
    link: float | None,
    **wanted: Any,
) -> None:
    """Run it, with the values of its options."""
    domain = {name: wanted.pop(name) for name in DOMAIN_ALONE}
    wish = _wish(on_stall=OnStall(wanted.pop("on_stall")), **wanted)
    ahead = chosen_ahead(source, destination, wish, link)
    if is_libvirt(source):
        ask = domain_wish(wish, **domain)
        by_ssh = (remote_command, data_address, port_range, through_ssh)
        migrate_libvirt(source, destination, ask, timeout, json_file, by_ssh)
        return
    refuse_domain(source, destination, domain)
    uri = _far_host(source, destination)
    ssh = ssh_settings(uri, remote_command, data_address, port_range, through_ssh)
    with host_at(uri, ssh, HERE) as host, terminal() as at:
        wish = replace(wish, hosts=Hosts(destination=host))
        if ahead is not None:
            wish = chosen(source, destination, wish, ahead, at)
        result = _moved(source, destination, wish, timeout, at)
    show([result], json_file)


def _moved(
    source: str, destination: str, wish: Wish, timeout: float | None, at: Terminal
) -> MigrationResult:
    with Progress(at.screen, wish.downtime_limit_ms) as progress:
        hooks = live_hooks(progress, at, wish.method, wish.channels)
        hooks = replace(hooks, on_doubt=hooks.on_note)
        return migrate(source, destination, wish, hooks, timeout)


def _far_host(source: str, destination: str) -> SshUri | None:
    """:raise UsageError: the source is on another host, or an address is none."""
    if is_ssh(source):
        raise UsageError(
            f"the source must be on this host: run this command on the host of {source}"
        )
    return parse_ssh(destination) if is_ssh(destination) else None


def _wish(
    method: str,
    level: int | str | None,
    max_bandwidth: float,
    downtime_limit: int,
    relay: str,
    page_size: str,
    accelerator: str,
    member_size: str,
    via: str | None,
    incoming: str | None,
    tls_creds: Path | None,
    **same: Any,
) -> Wish:
    """
    :param same: options that the wish has by the same names.
    :raise UsageError: the method has no such level or members, or an address is none.
    """
    number, auto = _checked_level(method, level, member_size, accelerator)
    return Wish(
        method,
        number,
        auto_level=auto,
        max_bandwidth=math.ceil(max_bandwidth),
        downtime_limit_ms=downtime_limit,
        relay=RelayMode(relay),
        page_size=int(page_size),
        accelerator=accelerator,
        member_size=member_size,
        via=relay_uri(via) if via else None,
        incoming=str(parse_place(incoming)) if incoming else None,
        tls_creds=str(tls_creds) if tls_creds else "",
        **same,
    )


def _checked_level(
    method: str, level: int | str | None, member_size: str, accelerator: str
) -> tuple[int | None, bool]:
    """The level, and whether each packet's is to be chosen.

    :raise UsageError: the method has no such level or members.
    """
    number, auto = level_of(level)
    check_choice(method, number, auto_level=auto, member_size=member_size, accelerator=accelerator)
    if method != AUTO:
        find_method(method).level(number)
        check_members(method, member_size, accelerator)
    return number, auto
