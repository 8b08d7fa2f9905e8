"""What a domain's description tells, and the checks before anything is touched."""

from __future__ import annotations

import difflib
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from ramferry.control.libvirt.contract import PAUSED, RUNNING, Connection
from ramferry.errors import PeerUnreachable, UsageError

LEAVES = frozenset({RUNNING, PAUSED, "idle", "pmsuspended"})
"""The states of a domain that has a QEMU, which libvirt can have send its guest."""

_UNITS = {"b": 1, "bytes": 1, "kib": 1 << 10, "k": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_MOST_XML = 16 << 20


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain, as its daemon described it."""

    name: str
    uuid: str
    state: str
    memory: int
    """Bytes of ``<memory>``, which is all that can be plugged in as well."""
    cells: tuple[int, ...]
    """Bytes of each NUMA cell; empty without NUMA."""


def look_up(connection: Connection, name: str) -> Domain:
    """A domain's description and state.

    :raise UsageError: there is no such domain; the sentence lists some that are like it.
    """
    try:
        state, text = connection.state(name), connection.xml(name)
    except UsageError as error:
        raise UsageError(f"{_absent(connection, name)} ({error})") from error
    return described(name, state, text)


def _absent(connection: Connection, name: str) -> str:
    names = sorted(connection.names())
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.4)
    shown = near or names[:5]
    there = f"no domain is named {name!r} at {connection.uri}"
    if not shown:
        return f"{there}, which has none"
    more = "" if len(names) <= len(shown) else f" and {len(names) - len(shown)} more"
    return f"{there}: it has {', '.join(shown)}{more}"


def check_leaves(domain: Domain) -> None:
    """:raise UsageError: the domain has no guest that could be sent."""
    if domain.state not in LEAVES:
        raise UsageError(
            f"the domain {domain.name} is {domain.state}: only one that is running or paused has"
            " memory to carry; nothing was touched"
        )


def described(name: str, state: str, text: str) -> Domain:
    """Read a domain's XML.

    :raise PeerUnreachable: it is none.
    """
    try:
        if len(text) > _MOST_XML:
            raise ValueError("it is too long")
        # expat as Python has it bounds what entities expand to
        root = ElementTree.fromstring(text)
        cells = tuple(_bytes(cell, cell.get("memory")) for cell in root.findall("cpu/numa/cell"))
        memory = root.find("memory")
        total = 0 if memory is None else _bytes(memory, memory.text)
        return Domain(name, root.findtext("uuid", "").strip(), state, total, cells)
    except (ElementTree.ParseError, ValueError) as error:
        raise PeerUnreachable(f"what libvirt says of {name} is no domain's XML: {error}") from error


def _bytes(element: ElementTree.Element, number: str | None) -> int:
    unit = element.get("unit", "KiB").lower()
    if unit not in _UNITS:
        raise ValueError(f"memory in {unit}")
    return int(number or 0) * _UNITS[unit]
