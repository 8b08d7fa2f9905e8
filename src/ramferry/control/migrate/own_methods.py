"""What two QEMUs can carry a migration by without a relay, for a choice before it starts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ramferry.control.migrate.lacks import (
    lacks_method,
    need_multifd,
    uuid_to_send,
    why_source_relay,
)
from ramferry.control.migrate.wish import Wish
from ramferry.control.qemu.probe import QemuFacts
from ramferry.errors import MethodUnavailable
from ramferry.policy.candidates import LEVELS
from ramferry.vocabulary import METHOD_LEVELS

_LADDERS: Final[dict[str, Sequence[int | None]]] = {
    "none": (None,),
    "zstd": [level for level in LEVELS["zstd"] if level in METHOD_LEVELS["zstd"]],
    "zlib": LEVELS["zlib"],
    "qatzip": (None,),
}
"""``qpl`` and ``uadk`` are for devices that nothing here can try."""


def own_methods(
    source: QemuFacts, destination: QemuFacts, wish: Wish
) -> tuple[dict[str, list[int | None]], str]:
    """The methods that both have built in and can do as they are asked, each with its levels from
    the lowest on, and why neither ``zstd`` nor ``zlib`` is there; empty if one is.

    :param wish: its method and level are not looked at.
    :raise MethodUnavailable: they can do nothing without a relay.
    """
    need_multifd(source, destination)
    uuid = uuid_to_send(source, destination)

    def why_not(method: str, level: int | None) -> str:
        one = replace(wish, method=method, level=level)
        return why_source_relay(source, one, uuid) or lacks_method(
            "destination", destination, method
        )

    if why := why_not("none", None):
        raise MethodUnavailable(f"{why}: leave out --relay none")
    found = {}
    for method, ladder in _LADDERS.items():
        if levels := [level for level in ladder if not why_not(method, level)]:
            found[method] = levels
    missing = "" if {"zstd", "zlib"} & set(found) else why_not("zstd", 1)
    return found, missing
