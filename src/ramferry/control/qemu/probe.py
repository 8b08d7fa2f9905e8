"""What a QEMU can do and its status, asked of it instead of guessed from its version.

Four things are decided by the version, because no reply shows them: 7.2 accepts the zlib and zstd
levels but ignores them, counts multifd bytes before compression, spins while its channels are busy,
and wakes a suspended guest that leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

from ramferry.errors import MethodUnavailable, PeerUnreachable
from ramferry.transport.address import TcpAddress, UnixAddress

Reply = Mapping[str, Any]

COUNTS_WIRE_BYTES: Final = (10, 0, 0)
"""QEMU's first version that is known to count, and cap, multifd bytes after compression."""


EXIT_ON_ERROR: Final = "exit-on-error"
"""The argument of ``migrate-incoming`` with which a destination that fails stays and says why."""


class Asks(Protocol):
    """The part of a QMP connection that probing uses."""

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, /) -> Any:
        """Run one command and return its ``return`` member."""


@dataclass(frozen=True, slots=True)
class QemuFacts:
    """What one QEMU told when it was asked."""

    version: tuple[int, int, int]
    methods: frozenset[str]
    """The values of ``multifd-compression`` that it takes."""
    capabilities: Mapping[str, bool]
    parameters: Mapping[str, object]
    run_state: str
    """``query-status``: "running", "paused", "inmigrate" …"""
    migration: str
    """``query-migrate``: "none", "active", "completed" …"""
    listening: str | None
    """Migration URI at which a destination listens already; None if it does not."""
    vcpu_threads: tuple[int, ...]
    package: str = ""
    """``package`` of ``query-version``, which says whose build it is."""
    uuid: UUID | None = None
    """Its ``-uuid``, which it sends and expects in the first packet of each multifd channel; all
    zeros without ``-uuid``. None if it does not tell."""
    blocked: tuple[str, ...] = ()
    """Why its guest cannot leave at present, in QEMU's sentences (``blocked-reasons``)."""
    stays_to_tell: bool = False
    """True if it can stay after a failed incoming migration to say why (QEMU ≥ 9.1)."""

    @property
    def name(self) -> str:
        """ "QEMU 7.2.22"; "Ramferry 0.1 built-in guest"."""
        if self.package.startswith("Ramferry"):
            return self.package
        return "QEMU " + ".".join(str(part) for part in self.version)

    @property
    def heeds_levels(self) -> bool:
        """False if the zlib and zstd levels are accepted and ignored (before 9.0)."""
        return self.version >= (9, 0, 0)

    @property
    def spins(self) -> bool:
        """True if the migration thread keeps a core busy while every channel is (before 8.1).

        After each sync it does not wait for the first packets, one for each channel.
        """
        return self.version < (8, 1, 0)

    @property
    def wakes_sleepers(self) -> bool:
        """True if a suspended guest (ACPI S3) is woken before it leaves (before 9.0)."""
        return self.version < (9, 0, 0)

    @property
    def counts_wire_bytes(self) -> bool:
        """False if multifd bytes are counted, and capped, before compression.

        7.2.22 does so. 10.0.13, told to send at most 20 MB/s, sent 37 MB/s of pages as 14 MB/s of
        zlib, and reported those; versions between the two were not measured.
        """
        return self.version >= COUNTS_WIRE_BYTES


def probe(qmp: Asks) -> QemuFacts:
    """Ask one QEMU everything that is needed to choose a route.

    :raise PeerUnreachable: it speaks QMP but not QEMU's.
    """
    try:
        version = qmp.execute("query-version")
        schema = qmp.execute("query-qmp-schema")
        return QemuFacts(
            version=version_of(version),
            package=str(version.get("package", "")),
            methods=methods_of(schema),
            capabilities=capabilities_of(qmp.execute("query-migrate-capabilities")),
            parameters=dict(qmp.execute("query-migrate-parameters")),
            run_state=str(qmp.execute("query-status")["status"]),
            vcpu_threads=threads_of(qmp.execute("query-cpus-fast")),
            uuid=uuid_of(qmp),
            stays_to_tell=EXIT_ON_ERROR in arguments_of(schema, "migrate-incoming"),
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


def methods_of(schema: Sequence[Reply]) -> frozenset[str]:
    """The values that ``migrate-set-parameters`` takes for ``multifd-compression``.

    Names of types are masked in the schema, so the enumeration is reached from the command. Empty
    if this QEMU has no multifd.
    """
    kind = arguments_of(schema, "migrate-set-parameters").get("multifd-compression")
    for entry in schema:
        if kind is not None and entry["name"] == kind:
            return frozenset(str(value) for value in entry["values"])
    return frozenset()


def arguments_of(schema: Sequence[Reply], command: str) -> dict[str, str]:
    """A command's arguments in ``query-qmp-schema`` and their (masked) types.

    :raise KeyError: there is no such command.
    """
    entries = {str(entry["name"]): entry for entry in schema}
    members = entries[entries[command]["arg-type"]]["members"]
    return {str(member["name"]): str(member["type"]) for member in members}


def uuid_of(qmp: Asks) -> UUID | None:
    """The UUID by ``query-uuid``; None if there is no such command."""
    with suppress(MethodUnavailable):
        return UUID(qmp.execute("query-uuid")["UUID"])
    return None


def capabilities_of(reply: Iterable[Reply]) -> dict[str, bool]:
    """Capability name → whether it is on."""
    return {str(item["capability"]): bool(item["state"]) for item in reply}


def threads_of(reply: Iterable[Reply]) -> tuple[int, ...]:
    """Thread ids of the vCPUs, on the host where that QEMU runs."""
    return tuple(int(cpu["thread-id"]) for cpu in reply)


def migration_of(reply: Reply) -> dict[str, Any]:
    """Status, listening address and what blocks it, as keyword arguments of ``QemuFacts``."""
    addresses = reply.get("socket-address") or ()
    return {
        "migration": str(reply.get("status", "none")),
        "listening": next((uri for uri in map(uri_of, addresses) if uri), None),
        "blocked": tuple(str(reason).rstrip(".") for reason in reply.get("blocked-reasons") or ()),
    }


def uri_of(address: Reply) -> str | None:
    """A QMP SocketAddress as a migration URI; None for kinds Ramferry does not speak, and for what
    is no address."""
    with suppress(KeyError, TypeError, ValueError):
        if address.get("type") == "inet":
            return str(TcpAddress(str(address["host"]), int(address["port"])))
        if address.get("type") == "unix":
            return str(UnixAddress(str(address["path"])))
    return None
