"""The ways that a migration of the campaign takes, and what is promised on each.

Stations stand in the order source, near relay, far relay, destination. Connections: "near" behind
the source, "wire" between two relays (or two QEMUs, or an ssh and its sshd), "far" before the
destination.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Wire = Literal["", "tcp", "relay", "tls", "ssh"]


@dataclass(frozen=True, slots=True)
class Topology:
    """One way."""

    name: str
    managed: bool
    """``ramferry migrate`` is in charge; else relays are started by hand and driven over QMP."""
    relays: tuple[str, ...]
    watched: tuple[str, ...]
    """Connections on which a proxy sees how far the migration is."""
    wire: Wire = ""
    """What is spoken on "wire": QEMU's own stream in clear, Ramferry's in clear, Ramferry's inside
    TLS, ssh; "" where no two relays meet at an address of their own."""
    answered: bool = True
    """Two guests are a violation. Else they are today's truth where the answer was cut: nobody
    there can ask again."""

    @property
    def verified(self) -> bool:
        """Whether a damaged byte on "wire" has to be found."""
        return self.wire in ("relay", "tls", "ssh")

    @property
    def sealed(self) -> bool:
        """Whether connections on "wire" cannot be told apart but by their order."""
        return self.wire in ("tls", "ssh")


_BOTH: Final = ("near", "far")
_ALL: Final = ("near", "wire", "far")
TOPOLOGIES: Final = {
    one.name: one
    for one in (
        Topology("local", True, _BOTH, _BOTH),
        Topology("direct", True, (), ("wire",)),
        Topology("via", True, _BOTH, _ALL, "tcp"),
        Topology("pair", False, _BOTH, _ALL, "tcp", answered=False),
        Topology("one", False, ("near",), _BOTH, answered=False),
        Topology("clear", False, _BOTH, _BOTH, "relay"),
        Topology("tls", False, _BOTH, _BOTH, "tls"),
        Topology("via-tls", True, _BOTH, _BOTH, "tls"),
        Topology("ssh", True, _BOTH, ("near",), "ssh"),
    )
}
"""``migrate`` with two relays of its own; without any; with ``--via`` a far one; a pair of relays,
and a single one, that were started by hand; a pair that knows that it is one, in clear and by TLS;
``migrate --via`` such a one by TLS; ``migrate`` to ``ssh://``."""
