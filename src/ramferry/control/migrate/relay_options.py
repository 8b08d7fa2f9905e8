"""Options that only a relay can heed: refused where a QEMU does the work. Pure."""

from __future__ import annotations

from ramferry.errors import UsageError
from ramferry.vocabulary import AUTO, REQUIRE


def need_relay_for_device(method: str, accelerator: str, *, relayed: bool) -> None:
    """Check ``--accelerator``.

    :param relayed: whether a relay on this host compresses or inflates.
    :raise UsageError: a device is required, and no relay would use it, or not for this method.
    """
    if accelerator != REQUIRE:
        return
    if method != "qatzip":
        raise UsageError(f"--accelerator require is for method qatzip, not {method}")
    if not relayed:
        raise UsageError(
            "--accelerator require is for relays on this host, and none is needed: QEMU itself"
            " uses the device or not, without a word; add --relay both"
        )


def need_relay_for_tls(tls_creds: str, *, meeting: bool) -> None:
    """Check ``--tls-creds``: whoever gives it believes that the memory is encrypted.

    :param meeting: whether a relay on this host meets another relay.
    :raise UsageError: none does.
    """
    if tls_creds and not meeting:
        raise UsageError(
            "--tls-creds is for what goes from relay to relay, and no two relays meet here: add"
            " --relay both, or name the far relay with --via relay:HOST:PORT. A QEMU's own TLS is"
            " set by its parameter tls-creds"
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
