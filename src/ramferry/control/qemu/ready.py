"""Checks, before anything is touched, that a QEMU's state is that of a source or a destination."""

from __future__ import annotations

from ramferry.control.qemu.end import QemuEnd
from ramferry.control.qemu.status import ARRIVING, IDLE, WAITING
from ramferry.errors import MethodUnavailable, UsageError


def check_source(end: QemuEnd) -> None:
    """Check that the guest can leave.

    :raise UsageError: the QEMU has no guest, or it is being migrated already.
    :raise MethodUnavailable: something blocks its migration; QEMU's sentences say what.
    """
    facts = end.facts
    if facts.blocked:
        raise MethodUnavailable(
            f"the guest of the QEMU at {end.party.uri} cannot leave: {'; '.join(facts.blocked)}"
        )
    if facts.migration not in IDLE:
        raise UsageError(f"the source at {end.party.uri} is migrating already ({facts.migration})")
    if facts.run_state == "postmigrate" and facts.migration in ("failed", "cancelled"):
        raise UsageError(
            f"the source at {end.party.uri} is postmigrate after a {facts.migration} migration,"
            " with its guest: `cont` there, `stop` where it is to stand still, and try again"
        )
    if facts.run_state in (ARRIVING, "postmigrate"):
        has_left = "has no guest any more, as it was migrated or saved; or"
        what = "waits for a guest itself:" if facts.run_state == ARRIVING else has_left
        raise UsageError(
            f"the source at {end.party.uri} (it is {facts.run_state}) {what} are the two addresses"
            " in the right order?"
        )


def lost_writes(end: QemuEnd) -> str:
    """A warning if this QEMU loses writes of a guest that runs while it is migrated; else empty.

    Before 8.0 TCG did not mark every page that it wrote: pages that the guest keeps writing
    differed at the destination in any live migration, with a relay or without.
    """
    facts = end.facts
    if facts.version >= (8, 0, 0) or facts.run_state != "running":
        return ""
    if end.execute("query-kvm")["enabled"]:
        return ""
    return (
        f"this guest runs without KVM, and {facts.name} loses writes of such a guest in any live"
        " migration: stop it before it leaves"
    )


def check_destination(end: QemuEnd) -> None:
    """Check that a guest can come.

    After its first ``migrate-incoming`` a newer QEMU (10.0, not 7.2) is in ``setup`` until bytes of
    a guest come, even if it could not listen, and it takes no second address.

    :raise UsageError: the QEMU does not wait for a guest.
    """
    facts = end.facts
    if facts.run_state != ARRIVING:
        raise UsageError(
            f"the destination at {end.party.uri} does not wait for a guest (it is"
            f" {facts.run_state}): start it with -incoming defer"
        )
    if facts.migration == WAITING and not facts.listening:
        raise UsageError(
            f"the destination at {end.party.uri} was told to listen where it could not, and takes"
            " no second address: start it anew"
        )
    if facts.migration not in IDLE | {WAITING}:
        raise UsageError(f"the destination at {end.party.uri} receives one already")
    if facts.migration == "failed":
        why = end.error()
        raise UsageError(
            f"a migration into the destination at {end.party.uri} has failed"
            f"{f' ({why})' if why else ''}, and a QEMU takes no second one: start it anew"
        )


def refuse_tls(end: QemuEnd) -> None:
    """:raise MethodUnavailable: the QEMU has TLS set, which hides the migration from a relay."""
    if end.facts.parameters.get("tls-creds"):
        raise MethodUnavailable(
            f"the QEMU at {end.party.uri} has tls-creds set, and a file is written and read "
            'without TLS: clear it with `migrate_set_parameter tls-creds ""`, and set it again '
            "afterwards"
        )
