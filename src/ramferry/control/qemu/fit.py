"""Whether a guest fits the QEMU it is to go to: machine type, memory, processors, UUID.

QEMU itself finds a mismatch in the middle of the migration, and then ends with a line in its log.
So what QMP tells about both ends is compared before either is touched. Devices are not compared:
the destination refuses one that it does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from ramferry.control.qemu.end import QemuEnd
from ramferry.errors import MethodUnavailable, UsageError
from ramferry.flows.archive.reader import Archive
from ramferry.flows.recording import devices_of
from ramferry.units import memory
from ramferry.wire.copying import vm_description
from ramferry.wire.events import ConfigurationSubsection
from ramferry.wire.main import MainParser

BUILT_IN: Final = "ramferry-"
"""The prefix of the machine types of built-in guests."""

_VALIDATE: Final = "validate-uuid"
"""With this capability on, a source's configuration names its UUID for the destination to check."""

_EACH_CPU: Final = "cpu_common"
"""Name of the section that QEMU writes once for each vCPU."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The properties of a QEMU that a guest's stream has to fit."""

    machine: str
    """The machine type's versioned name; empty if the QEMU does not tell."""
    memory: int | None
    """Bytes of ``-m``; None if the QEMU does not tell."""
    block: str
    """Name of the RAM block that ``-m`` makes; empty if the QEMU does not tell, or has several
    (NUMA)."""
    devices: Mapping[str, int] | None
    """Bytes of the memory devices' RAM blocks (DIMMs and the like), by name; None if the QEMU does
    not tell."""
    cpus: int

    @property
    def blocks(self) -> dict[str, int]:
        """Bytes of all known RAM blocks, by name."""
        main = {self.block: self.memory} if self.block and self.memory is not None else {}
        return {**main, **(self.devices or {})}


def shape_of(end: QemuEnd) -> Shape:
    """Ask a QEMU. If it lacks one of the commands, that field is empty or None."""
    base = None
    with suppress(MethodUnavailable):
        base = int(end.execute("query-memory-size-summary")["base-memory"])
    block = _name(_of_machine(end, "memory-backend"))
    return Shape(machine_of(end), base, block, _devices(end), len(end.facts.vcpu_threads))


def machine_of(end: QemuEnd) -> str:
    """The machine type's versioned name, also if it was started by an alias; empty if the QEMU does
    not tell."""
    return _of_machine(end, "type").removesuffix("-machine")


def _of_machine(end: QemuEnd, name: str) -> str:
    with suppress(MethodUnavailable):
        return str(end.execute("qom-get", {"path": "/machine", "property": name}))
    return ""


def _devices(end: QemuEnd) -> dict[str, int] | None:
    with suppress(MethodUnavailable):
        found = (device["data"] for device in end.execute("query-memory-devices"))
        # a virtio-mem's size is what is plugged at the moment; its block has all of it
        return {
            _name(str(data["memdev"])): int(data.get("max-size", data["size"]))
            for data in found
            if "memdev" in data
        }
    return None


def _name(path: str) -> str:
    """The RAM block's name for a backend's QOM path: the id; with old machine types, the path."""
    return path.rpartition("/")[2]


def check_pair(source: QemuEnd, destination: QemuEnd) -> None:
    """:raise UsageError: the destination was not started with what the source's guest has."""
    here, there = shape_of(source), shape_of(destination)
    _compare_machines("the source", here.machine, "the destination", there.machine)
    if here.memory and there.memory and here.memory != there.memory:
        raise UsageError(
            f"the source has {memory(here.memory)} of memory, and the destination"
            f" {memory(there.memory)}: start it with {_option(here.memory, there.machine)}"
        )
    renamed = bool(here.block and there.block) and here.block != there.block
    plugged = here.devices != there.devices and None not in (here.devices, there.devices)
    if renamed or plugged:
        raise UsageError(
            f"the source's memory is {_listed(here.blocks)}, and the destination's is"
            f" {_listed(there.blocks)}: start it with the same, under the same ids"
        )
    _compare_cpus("the source has", here.cpus, "the destination", there.cpus)
    if source.facts.capabilities.get(_VALIDATE):
        _refuse_uuid("the source", source.facts.uuid, "the destination", destination.facts.uuid)


def check_saved(archive: Archive, destination: QemuEnd) -> None:
    """:raise UsageError: the QEMU was not started with what the saved guest had."""
    there = shape_of(destination)
    _compare_machines(str(archive.path), archive.directory.machine, "this QEMU", there.machine)
    saved = {_name(block.name): block.size for block in archive.directory.blocks}
    for name, size in there.blocks.items():
        if name not in saved:
            raise UsageError(
                f"{archive.path} has no memory {name!r}, and this QEMU has: start it with the"
                " memory of the saved guest, under the same ids"
            )
        if saved[name] != size:
            raise UsageError(
                f"{archive.path} has {memory(saved[name])} of {name}, and this QEMU"
                f" {memory(size)}: start it with {_option(saved[name], there.machine)}"
            )
    devices = devices_of(vm_description(archive.stream.tail))
    cpus = sum(device.name == _EACH_CPU for device in devices)
    _compare_cpus(f"{archive.path} has", cpus, "this QEMU", there.cpus)
    _refuse_uuid(str(archive.path), _validated(archive), "this QEMU", destination.facts.uuid)


def _compare_machines(one: str, here: str, other: str, there: str) -> None:
    if not here or not there or here == there:
        return
    built_in = here.startswith(BUILT_IN) or there.startswith(BUILT_IN)
    raise UsageError(
        f"{one} is of machine type {here}, and {other} is {there}: "
        + (
            "a built-in guest and a QEMU's are two"
            if built_in
            else f"start it with -machine {here}"
        )
    )


def _compare_cpus(one: str, here: int, other: str, there: int) -> None:
    """:param here: number of vCPUs, like ``there``; 0 if it is not known."""
    if here and there and here != there:
        raise UsageError(
            f"{one} {here} vCPU{'s' * (here > 1)}, and {other} {there}: start it with -smp {here}"
        )


def _refuse_uuid(one: str, here: UUID | None, other: str, there: UUID | None) -> None:
    """Refuse what the validate-uuid capability refuses: two UUIDs that differ. All zeros means
    none."""
    if here and there and here.int and there.int and here != there:
        raise UsageError(
            f"the -uuid of {one} is {here}, that of {other} is {there}, and the source's capability"
            f" {_VALIDATE} has the destination refuse another one: start it with -uuid {here}"
        )


def _validated(archive: Archive) -> UUID | None:
    """The UUID in the stream's configuration, which is there only if validate-uuid was on."""
    for event in MainParser().feed(archive.stream.head):
        if isinstance(event, ConfigurationSubsection) and isinstance(event.value, bytes):
            return UUID(bytes=event.value)
    return None


def _listed(blocks: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({memory(size)})" for name, size in sorted(blocks.items())) or "none"


def _option(size: int, machine: str) -> str:
    """The command-line option that gives a QEMU, or a built-in guest, ``size`` bytes of memory."""
    option = "--memory" if machine.startswith(BUILT_IN) else "-m"
    return f"{option} {size >> 20}M" if size % (1 << 20) == 0 else f"{option} {size >> 10}k"
