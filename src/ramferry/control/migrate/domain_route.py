"""The way of a libvirt domain: a relay beside each QEMU, which meet them at one path. Pure but for
the path's name.

The source's QEMU connects to ``unix:PATH``, where the source's relay listens, and the destination's
QEMU listens at ``unix:PATH`` on its own host, where the destination's relay connects: libvirt has
one migration URI for both (``--migrateuri`` of virsh).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ramferry.control.hosts.contract import Host
from ramferry.control.hosts.host import HERE
from ramferry.control.libvirt.contract import SYSTEM, Move
from ramferry.control.migrate.on_stall import OnStall
from ramferry.control.migrate.relay_options import (
    between_relays,
    need_relay_for_device,
    need_relays_that_meet,
)
from ramferry.control.migrate.route import RelayStep, Route, member_size, that_meets
from ramferry.control.migrate.wish import Wish
from ramferry.errors import UsageError
from ramferry.transport.address import UnixAddress, parse_address
from ramferry.vocabulary import RELAY_PAIR

SOCKETS: Final = Path("/var/lib/libvirt/qemu")
"""The system daemon's folder for its QEMUs: they, and root, may make sockets there, and libvirt's
rules for AppArmor and SELinux name it."""


_HOLD_SECONDS: Final = 10.0
"""How long the source's relay holds on to a source whose migration has failed, so that libvirt's
job is aborted before its channels break (docs/platforms/libvirt.md). That takes some tenths of a
second as a rule; a busy host may need seconds, and its guest runs meanwhile."""


@dataclass(frozen=True, slots=True)
class DomainWish:
    """What the operator asked for."""

    relays: Wish
    """Method, channels and the like; ``hosts`` is not looked at."""
    peer_to_peer: bool = False
    persistent: bool = False
    undefine_source: bool = False
    unsafe: bool = False
    copy_storage: str = ""
    disks_uri: str = ""
    """These as in ``Move``."""
    socket_folder: str = ""
    """Where the QEMUs' sockets are to be, on both hosts; empty for ``SOCKETS``."""


def socket_path(connection: str, wish: DomainWish) -> str:
    """The path at which relays and QEMUs meet, on both hosts.

    :param connection: the source's daemon.
    :raise UsageError: it is not known where its QEMU may meet a relay.
    """
    if wish.relays.incoming:
        address = parse_address(wish.relays.incoming)
        if not isinstance(address, UnixAddress) or wish.socket_folder:
            raise UsageError(
                "a libvirt domain's QEMUs meet their relays at a socket, the same path on both"
                " hosts: write --incoming unix:PATH, or --socket-folder, or neither"
            )
        return address.path
    if wish.relays.via:
        raise UsageError(
            "with --via, say where the destination QEMU is to listen for that relay, which connects"
            " to it there: --incoming unix:PATH, the same path on both hosts"
        )
    if not wish.socket_folder and connection != SYSTEM:
        raise UsageError(
            f"which folder the QEMUs of {connection} may use for a socket is not known: name one,"
            " that is there on both hosts, with --socket-folder"
        )
    folder = Path(wish.socket_folder or SOCKETS)
    if not folder.is_absolute():
        raise UsageError(f"--socket-folder {folder} is the same on both hosts: name it from / on")
    return str(folder / f"ramferry-{secrets.token_hex(4)}")


def plan_domain(destination: str, path: str, wish: Wish, far: Host | None) -> Route:
    """The route.

    :param destination: the destination daemon's URI.
    :param path: as ``socket_path`` gave it.
    :param far: the destination's host; None if its relay runs already (``wish.via``).
    :raise UsageError: options contradict each other.
    """
    if far is not None:
        wish = between_relays(destination, far, wish)
    need_relay_for_device(wish, relayed=True)
    need_relays_that_meet(wish, meeting=True)
    steps = [_near(path, wish, far)]
    if far is not None:
        steps.insert(0, _far(wish, far))
    return Route(
        name=RELAY_PAIR,
        address=wish.via or f"unix:{path}",
        incoming=f"unix:{path}",
        relays=tuple(that_meets(wish, step) for step in steps),
        source_method="none",
        destination_method="none",
    )


def _far(wish: Wish, host: Host) -> RelayStep:
    return RelayStep(
        "destination",
        host.meeting(),
        "none",
        page_size=wish.page_size,
        accelerator=wish.accelerator,
        host=host,
    )


def _near(path: str, wish: Wish, inflates: Host | None) -> RelayStep:
    return RelayStep(
        "source",
        f"unix:{path}",
        wish.method,
        wish.level,
        wish.max_bandwidth,
        wish.page_size,
        wish.accelerator,
        HERE,
        member_size=member_size(wish, inflates),
        auto_level=wish.auto_level,
        hold_source=_HOLD_SECONDS,
    )


def move_of(wish: DomainWish, path: str, far: Host | None) -> Move:
    """What libvirt is asked.

    :param far: as ``plan_domain`` takes it.
    :raise UsageError: it is not known where disks are to go.
    """
    disks = wish.disks_uri
    if wish.copy_storage and not disks:
        if far is None or not far.address:
            raise UsageError(
                "disks are copied past the relays, and where to is not known: name it with"
                " --disks-uri tcp://HOST"
            )
        disks = f"tcp://{f'[{far.address}]' if ':' in far.address else far.address}"
    return Move(
        f"unix://{path}",
        wish.relays.channels,
        wish.peer_to_peer,
        wish.persistent,
        wish.undefine_source,
        wish.unsafe,
        wish.copy_storage,
        wish.relays.on_stall is OnStall.THROTTLE,
        disks,
    )
