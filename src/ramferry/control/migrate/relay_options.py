"""Options that only a relay can heed: refused where a QEMU does the work. Pure."""

from __future__ import annotations

from dataclasses import replace

from ramferry.codec import check_choice, more_with_relay
from ramferry.control.hosts.contract import Host
from ramferry.control.migrate.relay_mode import RelayMode
from ramferry.control.migrate.wish import Wish
from ramferry.errors import MethodUnavailable, UsageError
from ramferry.transport.address import RelayAddress, TlsAddress, parse_address
from ramferry.vocabulary import AUTO, REQUIRE


def need_relay_for_device(wish: Wish, *, relayed: bool) -> None:
    """Check ``--accelerator``.

    :param relayed: whether a relay on this host compresses or inflates.
    :raise UsageError: a device is required, and no relay would use it, or not for this method, or
        not beside a choice.
    """
    if wish.accelerator != REQUIRE:
        return
    check_choice(
        wish.method,
        wish.level,
        auto_level=wish.auto_level,
        member_size=wish.member_size,
        accelerator=wish.accelerator,
    )
    if wish.method != "qatzip":
        raise UsageError(f"--accelerator require is for method qatzip, not {wish.method}")
    if not relayed:
        raise UsageError(
            "--accelerator require is for relays on this host, and none is needed: QEMU itself"
            " uses the device or not, without a word; add --relay both"
        )


def need_relays_that_meet(wish: Wish, *, meeting: bool) -> None:
    """Check ``--tls-creds``, since whoever gives it believes that the memory is encrypted, and
    ``--decide``.

    :param meeting: whether a relay on this host meets another relay.
    :raise UsageError: none does, or not in such a way.
    """
    if wish.tls_creds and not meeting:
        raise UsageError(
            "--tls-creds is for what goes from relay to relay, and no two relays meet here: add"
            " --relay both, or name the far relay with --via relay:HOST:PORT. A QEMU's own TLS is"
            " set by its parameter tls-creds"
        )
    by_tls = wish.via is not None and isinstance(parse_address(wish.via), TlsAddress)
    if wish.decide is not None and (by_tls or not meeting):
        raise UsageError(
            "--decide is for two relays that know each other (relay:), and no two such relays meet"
            " here: add --relay both, or name the far relay with --via relay:HOST:PORT"
        )


def need_relay_for_members(member_size: str, *, relayed: bool) -> None:
    """Check ``--member-size``.

    :param relayed: whether a relay on this host compresses.
    :raise UsageError: a size was asked for, and no relay would heed it.
    """
    if member_size != AUTO and not relayed:
        raise UsageError(
            "--member-size is for the source's relay, and none is needed: QEMU itself cuts its"
            " packets, and cannot be told how; add --relay source or --relay both"
        )


def between_relays(uri: str, host: Host, wish: Wish) -> Wish:
    """The wish, with relays on both sides if the way to the destination is one for relays only, or
    the method one that only two relays have.

    :param uri: the destination's address.
    :param host: where it runs.
    :raise UsageError: other relays were asked for.
    :raise MethodUnavailable: see ``need_relays_for_auto``.
    """
    if not host.apart:
        return need_relays_for_auto(host, wish)
    given = {
        "--via": wish.via,
        f"--relay {wish.relay}": wish.relay in (RelayMode.SOURCE, RelayMode.NONE),
        "--tls-creds": wish.tls_creds,
        "--insecure": wish.insecure,
    }
    for option in (name for name, is_given in given.items() if is_given):
        raise UsageError(
            f"{uri} is reached by relays on both hosts, which are started for it and"
            f" encrypt by certificates that are made for it: leave out {option}"
        )
    return replace(wish, relay=RelayMode.BOTH)


def need_relays_for_auto(host: Host, wish: Wish) -> Wish:
    """The wish, with a relay on either side if the method is to be chosen for each packet.

    :param host: where the destination runs.
    :raise UsageError: other relays were asked for.
    :raise MethodUnavailable: no relay can be started beside the destination, nor is one named.
    """
    if wish.method != AUTO:
        return wish
    if wish.relay in (RelayMode.SOURCE, RelayMode.NONE):
        raise UsageError(
            f"--method auto is for two relays that know each other: leave out --relay {wish.relay},"
            " or name the method of a QEMU, with --level auto if its level is to be chosen;"
            " --relay none --link RATE, without --via, takes the QEMUs' own by a forecast"
        )
    if wish.via is not None:
        if isinstance(parse_address(wish.via), RelayAddress):
            return wish
        raise UsageError(
            "--method auto needs a relay that knows this one: name it as --via relay:HOST:PORT,"
            f" not as {wish.via}"
        )
    if not host.starts:
        raise MethodUnavailable(
            "--method auto needs a relay beside the destination, which is not on this host: name"
            " the destination as ssh://HOST/PATH, or start `ramferry relay relay:0.0.0.0:PORT"
            " CONNECT --method none --tls-creds DIR` there and name it with --via relay:HOST:PORT."
            " Without one, --relay none --link RATE takes a method that both QEMUs have by a"
            " forecast, or name one, with --level auto if its level is to be chosen: see `ramferry"
            " plan time`"
        )
    return replace(wish, relay=RelayMode.BOTH)


def advice(wish: Wish, relays: int) -> str:
    """What could be had besides a chosen level; empty if one was not asked for, or the source's
    relay meets one that knows it.

    :param relays: how many are started.
    """
    known = wish.via is not None and isinstance(parse_address(wish.via), RelayAddress)
    return more_with_relay(wish.method) if wish.auto_level and relays < 2 and not known else ""


def of_relays(via: str | None) -> bool:
    """Whether no QEMU, only a relay, can connect there."""
    return via is not None and isinstance(parse_address(via), RelayAddress | TlsAddress)
