"""What a QEMU can do and where it stands, asked of it instead of guessed from its version.

The version decides four things only: 7.2 takes the zlib and zstd levels and does not use them, it
counts multifd bytes before compression, it spins while its channels are busy, and it wakes a
suspended guest that leaves. No reply shows that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ramferry.errors import PeerUnreachable
from ramferry.transport.address import TcpAddress, UnixAddress

Reply = Mapping[str, Any]

COUNTS_WIRE_BYTES: Final = (10, 0, 0)
"""QEMU's first version that is known to count, and cap, multifd bytes after compression."""


class Asks(Protocol):
    """What probing needs of a QMP connection."""

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, /) -> Any:
        """Run one command and return its ``return`` member."""


@dataclass(frozen=True, slots=True)
class QemuFacts:
    """One QEMU, at the moment it was asked."""

    version: tuple[int, int, int]
    methods: frozenset[str]
    """Members of its MultiFDCompression, without those it would refuse."""
    capabilities: Mapping[str, bool]
    parameters: Mapping[str, object]
    run_state: str
    """``query-status``: "running", "paused", "inmigrate" …"""
    migration: str
    """``query-migrate``: "none", "active", "completed" …"""
    listening: str | None
    """Where a destination that already listens does so, as a migration URI."""
    vcpu_threads: tuple[int, ...]
    package: str = ""
    """Whose build it is, in ``query-version``'s words."""

    @property
    def name(self) -> str:
        """ "QEMU 7.2.22"; "Ramferry 0.1 built-in guest"."""
        if self.package.startswith("Ramferry"):
            return self.package
        return "QEMU " + ".".join(str(part) for part in self.version)

    @property
    def heeds_levels(self) -> bool:
        """False where the zlib and zstd levels are accepted and ignored (before 9.0)."""
        return self.version >= (9, 0, 0)

    @property
    def spins(self) -> bool:
        """True where the migration thread keeps a core busy while every channel is (before 8.1).

        Each sync leaves it as many turns as there are channels that it need not wait for.
        """
        return self.version < (8, 1, 0)

    @property
    def wakes_sleepers(self) -> bool:
        """True where a suspended guest (ACPI S3) is woken before it leaves (before 9.0)."""
        return self.version < (9, 0, 0)

    @property
    def counts_wire_bytes(self) -> bool:
        """False where multifd bytes are counted, and capped, before compression.

        7.2.22 does so. 10.0.13, told to send at most 20 MB/s, sent 37 MB/s of pages as 14 MB/s of
        zlib, and reported those; versions between the two were not measured.
        """
        return self.version >= COUNTS_WIRE_BYTES


def probe(qmp: Asks) -> QemuFacts:
    """Ask one QEMU everything the plan needs.

    :raise PeerUnreachable: it speaks QMP but not QEMU's.
    """
    try:
        version = qmp.execute("query-version")
        return QemuFacts(
            version=version_of(version),
            package=str(version.get("package", "")),
            methods=methods_of(qmp.execute("query-qmp-schema")),
            capabilities=capabilities_of(qmp.execute("query-migrate-capabilities")),
            parameters=dict(qmp.execute("query-migrate-parameters")),
            run_state=str(qmp.execute("query-status")["status"]),
            vcpu_threads=threads_of(qmp.execute("query-cpus-fast")),
            **migration_of(qmp.execute("query-migrate")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PeerUnreachable(
            f"the peer speaks QMP but does not answer as QEMU does: {error!r}"
        ) from error


def version_of(reply: Reply) -> tuple[int, int, int]:
    """The three numbers of ``query-version``."""
    qemu = reply["qemu"]
    return int(qemu["major"]), int(qemu["minor"]), int(qemu["micro"])


def methods_of(schema: Iterable[Reply]) -> frozenset[str]:
    """The values that ``migrate-set-parameters`` takes for ``multifd-compression``.

    Names of types are masked in the schema, so the enumeration is reached from the command.
    Empty where this QEMU has no multifd.
    """
    entries = {str(entry["name"]): entry for entry in schema}
    command = entries["migrate-set-parameters"]
    for member in entries[command["arg-type"]]["members"]:
        if member["name"] == "multifd-compression":
            return frozenset(str(value) for value in entries[member["type"]]["values"])
    return frozenset()


def capabilities_of(reply: Iterable[Reply]) -> dict[str, bool]:
    """Capability name → whether it is on."""
    return {str(item["capability"]): bool(item["state"]) for item in reply}


def threads_of(reply: Iterable[Reply]) -> tuple[int, ...]:
    """Thread ids of the vCPUs, on the host where that QEMU runs."""
    return tuple(int(cpu["thread-id"]) for cpu in reply)


def migration_of(reply: Reply) -> dict[str, Any]:
    """Status and listening address, as keyword arguments of ``QemuFacts``."""
    addresses = reply.get("socket-address") or ()
    return {
        "migration": str(reply.get("status", "none")),
        "listening": next((uri for uri in map(uri_of, addresses) if uri), None),
    }


def uri_of(address: Reply) -> str | None:
    """A QMP SocketAddress as a migration URI; None for kinds Ramferry does not speak."""
    if address.get("type") == "inet":
        return str(TcpAddress(str(address["host"]), int(address["port"])))
    if address.get("type") == "unix":
        return str(UnixAddress(str(address["path"])))
    return None
