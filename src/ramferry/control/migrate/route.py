"""Chooses the route between two QEMUs from what they can do. Pure, so that tests are a table.

``--relay auto`` takes what a QEMU has built in and adds a relay only if one is needed:

- a source relay if the source lacks the method; if it would ignore the level (before 9.0), or each
  packet's is to be chosen; if wire bytes are to be capped and its ``max-bandwidth`` caps bytes
  before compression (before 10.0; for ``none`` the two are the same); or if the destination has
  another UUID, which only a relay can send it;
- a destination relay if the destination lacks the method. It is started on this host, or it runs on
  the far host already and ``--via`` names it.

Between a QEMU and its relay the method is ``none``, so that the QEMU spends no time compressing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ramferry.control.hosts.addresses import connectable, port_is_open
from ramferry.control.hosts.host import HERE, Host, members_for
from ramferry.control.migrate.lacks import (
    lacks_method,
    need_multifd,
    refuse_hidden,
    uuid_to_send,
    why_source_relay,
)
from ramferry.control.migrate.relay_mode import RelayMode as RelayMode
from ramferry.control.migrate.relay_options import (
    between_relays,
    need_relay_for_device,
    need_relay_for_members,
    need_relays_that_meet,
    of_relays,
)
from ramferry.control.migrate.wish import Wish as Wish
from ramferry.control.qemu.party import Party
from ramferry.control.qemu.uri import qmp_host
from ramferry.errors import MethodUnavailable, UsageError
from ramferry.transport.address import TcpAddress
from ramferry.vocabulary import AUTO, PAGE_SIZE, RELAY_PAIR


@dataclass(frozen=True, slots=True)
class RelayStep:
    """One relay to start on this host."""

    side: str
    """ "source" or "destination": whose relay it is."""
    listen: str
    method: str
    level: int | None = None
    max_bandwidth: int = 0
    page_size: int = PAGE_SIZE
    accelerator: str = AUTO
    host: Host = HERE
    """Where it runs."""
    uuid: str = ""
    """The UUID that the destination expects in place of the source's; empty if it is the same."""
    member_size: str = AUTO
    """One of ``vocabulary.MEMBER_SIZES``; ``auto`` if it is not known what inflates."""
    tls_creds: str = ""
    """As in ``Wish``, for a relay that meets another one."""
    insecure: bool = False
    """The same."""
    decide: float | None = None
    """The same."""
    cpu_limit: float = 0.0
    """The same."""
    auto_level: bool = False
    """The same."""
    hold_source: float = 0.0
    """Most seconds that the source keeps its connections after the migration has failed."""


@dataclass(frozen=True, slots=True)
class Route:
    """The way from the source QEMU to the destination QEMU, and the relays on it."""

    name: str
    """The route's name in results: "relay pair", "source relay", "destination relay" or "QEMU
    built-in"."""
    address: str
    """Migration URI of the destination, or of the far relay. With port 0 the QEMU chooses the
    port."""
    incoming: str | None
    """The URI for ``migrate-incoming``; None if the destination listens already."""
    relays: tuple[RelayStep, ...]
    """The relays that are started here, in the order in which they start: the destination's first.
    The source connects to the last."""
    source_method: str
    """The source's ``multifd-compression``."""
    destination_method: str
    source_bandwidth: int = 0
    """The source's ``max-bandwidth`` in bytes/s; 0 is unlimited."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """A directory for sockets for each of the two QEMUs, which may run as different users."""

    source: str
    destination: str


def plan(source: Party, destination: Party, wish: Wish, sockets: Sockets) -> Route:
    """Choose the route.

    :param sockets: directories for the ``unix:`` sockets of relays and local QEMUs.
    :raise MethodUnavailable: no route carries the method under these conditions.
    :raise UsageError: an address is missing, or options contradict each other.
    """
    need_multifd(source.facts, destination.facts)
    wish = between_relays(destination.uri, destination.host, wish)
    far = _wants_destination_relay(destination, wish)
    uuid = uuid_to_send(source.facts, destination.facts)
    near = _wants_source_relay(source, wish, "" if far else uuid)
    need_relay_for_device(wish, relayed=near or far)
    need_relay_for_members(wish.member_size, relayed=near)
    meeting = near and (far or of_relays(wish.via))
    need_relays_that_meet(wish, meeting=meeting)
    if near or far or wish.via:
        refuse_hidden(source.facts, destination.facts)
    incoming = _incoming(destination, wish, sockets, relayed=near or far)
    address = wish.via or _address(destination, wish, incoming)
    _refuse_out_of_reach(source, address, far=far)
    steps = []
    if far:
        steps.append(_destination_relay(destination, wish, sockets, uuid, near=near))
    if near:
        beside = (destination.host, "") if far else (None, uuid)
        steps.append(_source_relay(source, wish, sockets, *beside))
    return Route(
        name=_NAMES[near, far or wish.via is not None],
        address=address,
        incoming=incoming,
        relays=tuple(that_meets(wish, step) if meeting else step for step in steps),
        source_method="none" if near else wish.method,
        destination_method="none" if far or wish.via else wish.method,
        source_bandwidth=0 if near else wish.max_bandwidth,
    )


_NAMES = {
    (True, True): RELAY_PAIR,
    (True, False): "source relay",
    (False, True): "destination relay",
    (False, False): "QEMU built-in",
}


def that_meets(wish: Wish, step: RelayStep) -> RelayStep:
    """A relay that meets another one."""
    return replace(
        step,
        tls_creds=wish.tls_creds,
        insecure=wish.insecure,
        decide=wish.decide,
        cpu_limit=wish.cpu_limit,
    )


def _destination_relay(
    destination: Party, wish: Wish, sockets: Sockets, uuid: str, *, near: bool
) -> RelayStep:
    """
    :param near: True if the source has a relay too: both then meet over TCP, as on a real link.
    """
    return RelayStep(
        "destination",
        destination.host.meeting() if near else f"unix:{sockets.source}/destination-relay",
        "none",
        page_size=wish.page_size,
        accelerator=wish.accelerator,
        host=destination.host,
        uuid=uuid,
    )


def _source_relay(
    source: Party, wish: Wish, sockets: Sockets, inflates: Host | None, uuid: str
) -> RelayStep:
    """:param inflates: as ``member_size`` takes it."""
    return RelayStep(
        "source",
        f"unix:{sockets.source}/source-relay",
        wish.method,
        wish.level,
        wish.max_bandwidth,
        wish.page_size,
        wish.accelerator,
        source.host,
        uuid,
        member_size(wish, inflates),
        cpu_limit=wish.cpu_limit,
        auto_level=wish.auto_level,
    )


def member_size(wish: Wish, inflates: Host | None) -> str:
    """What to ask of the source's relay.

    :param inflates: where a relay of ours inflates, with the same accelerator; None if it is a
        QEMU, or a relay that runs already.
    """
    if wish.method != "qatzip" or wish.member_size != AUTO:
        return wish.member_size
    return members_for(inflates, wish.accelerator)


def _any_port(host: Host) -> str:
    return str(TcpAddress(host.address, 0))


def _wants_destination_relay(destination: Party, wish: Wish) -> bool:
    """Whether to start one here; with ``--via`` one runs already."""
    lacks = lacks_method("destination", destination.facts, wish.method)
    if wish.via:
        return False
    if wish.relay is RelayMode.BOTH or (wish.relay is RelayMode.AUTO and lacks):
        if destination.host.starts:
            return True
        raise MethodUnavailable(
            (lacks or "--relay both needs a relay beside the destination")
            + f", and {destination.uri} is not on this host: name the destination as"
            " ssh://HOST/PATH, or start `ramferry relay relay:0.0.0.0:PORT CONNECT --method none"
            " --tls-creds DIR` there and name it with --via relay:HOST:PORT --tls-creds DIR"
        )
    if lacks:
        raise MethodUnavailable(
            f"{lacks}: leave out --relay {wish.relay}, or choose another method"
        )
    return False


def _wants_source_relay(source: Party, wish: Wish, uuid: str) -> bool:
    """:param uuid: the UUID to send in place of the source's; empty for the same."""
    why = why_source_relay(source.facts, wish, uuid)
    if not why and of_relays(wish.via):
        why = f"only a relay connects to {wish.via}"
    if wish.relay is RelayMode.NONE:
        if why:
            raise MethodUnavailable(f"{why}: leave out --relay none")
        return False
    near = wish.relay in (RelayMode.BOTH, RelayMode.SOURCE) or bool(why)
    if near and not source.host.starts:
        raise UsageError(
            f"{why or 'a relay was asked for'}, and a source relay runs beside its QEMU, but"
            f" {source.uri} is not on this host: run this command there"
        )
    return near


def _incoming(destination: Party, wish: Wish, sockets: Sockets, *, relayed: bool) -> str | None:
    """The URI for ``migrate-incoming``; None if the destination listens already."""
    if destination.facts.listening:
        return None
    if wish.incoming:
        if wish.via and port_is_open(wish.incoming):
            raise UsageError("with --via, --incoming needs the port that the far relay connects to")
        return wish.incoming
    if wish.via:
        raise UsageError(
            "with --via, say where the destination QEMU is to listen for that relay:"
            " --incoming tcp:HOST:PORT or --incoming unix:PATH"
        )
    if destination.host.starts and relayed:
        return f"unix:{sockets.destination}/destination"
    if not destination.host.address:
        raise UsageError(
            f"{destination.uri} leads to another host, whose address it does not tell:"
            " name it with --incoming tcp:HOST:PORT"
        )
    return _any_port(destination.host)


def _address(destination: Party, wish: Wish, incoming: str | None) -> str:
    """The destination QEMU's migration URI as seen from this host."""
    uri = wish.incoming or incoming or destination.facts.listening
    assert uri is not None  # one of the three is what made `incoming`
    return connectable(uri, qmp_host(destination.uri) or "127.0.0.1")


def _refuse_out_of_reach(source: Party, address: str, *, far: bool) -> None:
    """Refuse an address on this host for a source that runs on another host, without a relay
    here."""
    if far and not source.host.starts:
        raise UsageError(
            f"the source at {source.uri} is not on this host and cannot reach a relay here:"
            " run this command on its host, and name a relay beside the destination with --via"
        )
    if not source.host.reaches(address):
        raise UsageError(
            f"the source at {source.uri} is not on this host and cannot reach {address}:"
            " name an address of the destination with --incoming tcp:HOST:PORT"
        )
