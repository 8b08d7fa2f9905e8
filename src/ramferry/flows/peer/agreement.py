"""What one Ramferry offers, and what two of them agree on. Pure, but for a look at this host."""

from __future__ import annotations

from typing import Final

from ramferry import __version__
from ramferry.codec import create_decoder
from ramferry.errors import HostError, MethodUnavailable, PeerUnreachable
from ramferry.flows.session.roles import FlowSettings
from ramferry.metrics.agreement import Agreement
from ramferry.qatzip.accelerator import may_accelerate
from ramferry.vocabulary import AUTO, MEMBER_SIZES, MEMBERS_OF_64K, METHOD_FLAGS, ONE_MEMBER
from ramferry.wire import digests
from ramferry.wire.relay_messages import Features, Hello

PROTOCOL: Final = (1, 1)
"""The oldest and the newest version of the relay protocol that this Ramferry speaks."""
UNVERIFIED: Final = "the far end makes no digests (--no-verify there): packets are not verified"
"""A note for a side that offered digests, where none are agreed."""
_HARDWARE, _SOFTWARE = "hardware", "software"


def own_hello(
    settings: FlowSettings,
    method: str = "",
    refused: str = "",
    migration: str = "",
    *,
    streams: bool = True,
    stream: str = "",
    loads: bool = True,
) -> Hello:
    """This side's hello.

    :param method: what this side is going to send; empty if it accepts, or chooses a method for
        each packet.
    :param refused: why this side does not take the migration; empty if it does.
    :param migration: its id, of the side that connects.
    :param streams: whether this side takes a stream by a tunnel.
    :param stream: as in ``Hello``, of the side that connects.
    :param loads: as in ``Features``.
    """
    return Hello(
        ramferry=__version__,
        protocol=PROTOCOL,
        features=Features(
            digests=(digests.NAME,) if settings.verify else (),
            member_sizes=tuple(one for one in MEMBER_SIZES if one != AUTO),
            method_per_packet=True,
            answers=settings.decide > 0,
            streams=streams,
            loads=loads,
            order=True,
        ),
        inflates={name: how for name in METHOD_FLAGS if (how := _inflates(name, settings))},
        page_size=settings.page_size,
        method=method,
        refused=refused,
        migration=migration,
        stream=stream,
    )


def _inflates(method: str, settings: FlowSettings) -> str:
    """Whether "hardware" or "software" inflates a method here; empty if neither can."""
    if method == "qatzip":
        return _HARDWARE if may_accelerate(settings.accelerator) else _SOFTWARE
    try:
        create_decoder(method)
    except HostError:  # zstd on a host without libzstd
        return ""
    return _SOFTWARE


def agree(near: Hello, far: Hello, *, receives: Hello) -> Agreement:
    """What both sides of a migration have.

    :param receives: which of the two inflates.
    :raise MethodUnavailable: they cannot carry a migration together; the sentence says why.
    :raise PeerUnreachable: the far end takes no migration now.
    """
    if far.refused:
        raise PeerUnreachable(f"it refuses: {far.refused}")
    newest = min(near.protocol[1], far.protocol[1])
    if newest < max(near.protocol[0], far.protocol[0]):
        raise MethodUnavailable(
            f"Ramferry {far.ramferry} there speaks version {_span(far)} of the relay protocol and"
            f" Ramferry {near.ramferry} here {_span(near)}: install the same on both hosts"
        )
    _check(near, far, receives)
    ours, theirs = near.features, far.features
    common = [one for one in ours.digests if one in theirs.digests]
    return Agreement(
        far=far.ramferry,
        protocol=newest,
        digest=common[0] if common else "",
        member_size=_members(receives),
        method_per_packet=ours.method_per_packet and theirs.method_per_packet,
        answers=ours.answers and theirs.answers,
        streams=ours.streams and theirs.streams,
        loads=ours.loads and theirs.loads,
        order=ours.order and theirs.order,
        inflates=tuple(receives.inflates),
        migration=near.migration or far.migration,
    )


def _check(near: Hello, far: Hello, receives: Hello) -> None:
    """:raise MethodUnavailable: the guest's pages or the method do not suit one of them."""
    if near.page_size != far.page_size:
        raise MethodUnavailable(
            f"it carries guests with pages of {far.page_size} bytes and this end of"
            f" {near.page_size}: give both the same --page-size"
        )
    sends = near if receives is far else far
    if sends.method and sends.method not in receives.inflates:
        raise MethodUnavailable(
            f"the end that receives cannot inflate {sends.method}, only"
            f" {', '.join(receives.inflates) or 'nothing'}: choose another --method, or install"
            " there what it lacks"
        )


def _members(receives: Hello) -> str:
    """The largest members of QATzip that suit whoever inflates: a device takes 64 KiB at most."""
    soft = receives.inflates.get("qatzip") == _SOFTWARE
    return ONE_MEMBER if soft and ONE_MEMBER in receives.features.member_sizes else MEMBERS_OF_64K


def _span(hello: Hello) -> str:
    least, most = hello.protocol
    return str(least) if least == most else f"{least} to {most}"
