"""The ways that a migration of the campaign takes, and what is promised on each.

Stations stand in the order source, near relay, far relay, destination. Connections: "near" behind
the source, "wire" between two relays (or two QEMUs), "far" before the destination.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Wire = Literal["", "tcp", "relay", "tls"]


@dataclass(frozen=True, slots=True)
class Topology:
    """One way."""

    name: str
    managed: bool
    """``ramferry migrate`` is in charge; else relays are started by hand and driven over QMP."""
    relays: tuple[str, ...]
    places: tuple[str, ...]
    """Connections before which a proxy can stand."""
    wire: Wire = ""
    """What two relays that know each other by an address speak on "wire": QEMU's own stream in
    clear, Ramferry's in clear, Ramferry's inside TLS; "" where they are not two."""
    answered: bool = True
    """Two guests are a violation. Else they are today's truth where the answer was cut: nobody
    there can ask both QEMUs."""

    @property
    def verified(self) -> bool:
        """Whether a damaged byte on "wire" has to be found."""
        return self.wire in ("relay", "tls")


TOPOLOGIES: Final = {
    one.name: one
    for one in (
        Topology("local", True, ("near", "far"), ("near", "far")),
        Topology("direct", True, (), ("wire",)),
        Topology("via", True, ("near", "far"), ("near", "wire", "far"), "tcp"),
        Topology("pair", False, ("near", "far"), ("near", "wire", "far"), "tcp", answered=False),
        Topology("one", False, ("near",), ("near", "far"), answered=False),
        Topology("clear", False, ("near", "far"), ("near", "wire", "far"), "relay", answered=False),
    )
}
"""``migrate`` with two relays of its own; without any; with ``--via`` a far one; a pair of relays,
and a single one, that were started by hand; a pair that knows that it is one, in clear."""
