"""What a QEMU cannot do by itself, so that a relay has to, and what neither can. Pure."""

from __future__ import annotations

from ramferry.control.migrate.wish import Wish
from ramferry.control.qemu.probe import QemuFacts
from ramferry.errors import MethodUnavailable
from ramferry.vocabulary import AUTO


def lacks_method(side: str, facts: QemuFacts, method: str) -> str:
    """Whether a QEMU was built without a method, as a clause; empty if it has it."""
    if method in facts.methods:
        return ""
    if method == AUTO:
        return f"the {side}, {facts.name}, has one method for all packets"
    has = ", ".join(sorted(facts.methods))
    return f"the {side}, {facts.name}, was built without {method} (it has {has})"


def why_source_relay(facts: QemuFacts, wish: Wish, uuid: str) -> str:
    """Why the source needs a relay to do what was asked; empty if it needs none.

    :param uuid: the UUID that the destination expects in place of the source's; empty if it is the
        same.
    """
    method, level = wish.method, wish.level
    if lacks := lacks_method("source", facts, method):
        return lacks
    if wish.auto_level:
        return f"the source, {facts.name}, has one level for all packets"
    if method in ("zlib", "zstd") and level not in (None, 1) and not facts.heeds_levels:
        return f"the source, {facts.name}, takes a {method} level and ignores it"
    if wish.max_bandwidth and method != "none" and not facts.counts_wire_bytes:
        return f"the source, {facts.name}, caps memory before compression, not wire bytes"
    if uuid:
        return (
            f"the source's -uuid is {facts.uuid} and the destination's is {uuid}, and only a relay"
            " can send what the destination expects"
        )
    return ""


def uuid_to_send(source: QemuFacts, destination: QemuFacts) -> str:
    """The destination's UUID if both are known and differ; otherwise empty.

    A destination compares its UUID with the one in the first packet of each multifd channel. If
    they differ, 7.2 hangs in inmigrate, and 10.0 ends.
    """
    here, there = source.uuid, destination.uuid
    return "" if here is None or there is None or here == there else str(there)


def need_multifd(source: QemuFacts, destination: QemuFacts) -> None:
    """:raise MethodUnavailable: one of them has no multifd."""
    for side, facts in (("source", source), ("destination", destination)):
        if not facts.methods:
            raise MethodUnavailable(f"the {side}, {facts.name}, has no multifd")


def refuse_hidden(source: QemuFacts, destination: QemuFacts) -> None:
    """:raise MethodUnavailable: one of them uses TLS, and a relay is to stand between them."""
    for side, facts in (("source", source), ("destination", destination)):
        if facts.parameters.get("tls-creds"):
            raise MethodUnavailable(
                f"the {side} has tls-creds set, and a relay cannot read what TLS hides: clear"
                " tls-creds, or use a method both QEMUs have with --relay none"
            )
