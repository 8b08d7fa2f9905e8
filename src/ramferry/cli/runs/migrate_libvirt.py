"""What ``ramferry migrate libvirt:DOMAIN`` does; its options are in ``cli.domain_options``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

from ramferry.cli.json_file import JsonFile
from ramferry.cli.live import live_hooks
from ramferry.cli.results import show
from ramferry.cli.ssh_settings import ssh_settings
from ramferry.cli.terminal import terminal
from ramferry.control.hosts.contract import Host
from ramferry.control.hosts.ssh import Ssh
from ramferry.control.hosts.ssh_uri import SshUri, is_ssh
from ramferry.control.libvirt.uri import is_libvirt, login_of, parse_domain
from ramferry.control.migrate.domain_course import migrate_domain
from ramferry.control.migrate.domain_route import DomainWish
from ramferry.control.migrate.wish import Wish
from ramferry.errors import UsageError
from ramferry.report.progress import Progress

DOMAIN_ALONE: Final = (
    "p2p",
    "persistent",
    "undefine_source",
    "unsafe",
    "copy_storage",
    "disks_uri",
    "socket_folder",
)
"""The options that are for a libvirt domain alone."""


def domain_wish(relays: Wish, p2p: bool, copy_storage: str | None, **wanted: Any) -> DomainWish:
    """
    :raise UsageError: options contradict each other.
    """
    given = {name: value or "" for name, value in wanted.items() if isinstance(value, str | None)}
    if given["disks_uri"] and not copy_storage:
        raise UsageError("--disks-uri says where copied disks go: add --copy-storage all or inc")
    return DomainWish(relays, p2p, copy_storage=copy_storage or "", **{**wanted, **given})


def refuse_domain(source: str, destination: str, options: Mapping[str, object]) -> None:
    """:raise UsageError: what is for a domain is asked of a QEMU, or of a destination alone."""
    if is_libvirt(destination) or destination.startswith("qemu+"):
        raise UsageError(
            f"{destination} is libvirt's, and {source} is none of its domains: a guest that libvirt"
            " is to have must come from libvirt, as libvirt:DOMAIN"
        )
    for name in (name for name, value in options.items() if value):
        raise UsageError(
            f"--{name.replace('_', '-')} is for a libvirt domain, and {source} is none"
        )


def migrate_libvirt(
    source: str,
    destination: str,
    wish: DomainWish,
    timeout: float | None,
    json_file: JsonFile | None,
    by_ssh: tuple[str, str | None, tuple[int, int] | None, bool],
) -> None:
    """Run it.

    :param by_ssh: the values of the options of a way by ssh.
    """
    uri, relays = parse_domain(source), wish.relays
    login = _login(source, destination, wish)
    settings = ssh_settings(login, *by_ssh)
    with terminal() as at, ExitStack() as stack:
        progress = stack.enter_context(Progress(at.screen, relays.downtime_limit_ms))
        hooks = live_hooks(progress, at, relays.method, relays.channels)
        hooks = replace(hooks, on_doubt=hooks.on_note)

        def far() -> Host | None:
            return None if login is None else stack.enter_context(Ssh(login, settings))

        result = migrate_domain(uri, destination, wish, far, hooks, timeout)
    show([result], json_file)


def _login(source: str, destination: str, wish: DomainWish) -> SshUri | None:
    """The host on which the far relay is started; None if it runs already.

    :raise UsageError: it is none that can be reached.
    """
    if is_libvirt(destination) or is_ssh(destination) or destination.startswith("qmp:"):
        raise UsageError(
            f"{destination} is no libvirt that {source} could go to: write"
            " qemu+ssh://[USER@]HOST[:PORT]/system"
        )
    login = login_of(destination)
    if wish.relays.via:
        return None
    if login is None:
        raise UsageError(
            f"{destination} does not go by ssh, so that no relay can be started there: write"
            " qemu+ssh://HOST/system, or start `ramferry relay relay:0.0.0.0:PORT unix:PATH"
            " --method none --tls-creds DIR` there and name it with --via relay:HOST:PORT"
            " --incoming unix:PATH --tls-creds DIR"
        )
    return login
