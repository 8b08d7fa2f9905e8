"""IAA devices and their work queues (kernel ABI ``sysfs-driver-dma-idxd``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ramferry.hardware.families import IAA_IDS
from ramferry.hardware.pci import PciFunction, scan
from ramferry.hardware.root import Node, Root
from ramferry.metrics.evidence import Evidence

DEVICES: Final = "/sys/bus/dsa/devices"


@dataclass(frozen=True, slots=True)
class WorkQueue:
    """One queue; QPL takes shared queues for user space only."""

    name: str
    """ "wq1.0"."""
    state: Evidence
    mode: Evidence
    type: Evidence
    size: Evidence
    node: Node
    """/dev/iax/<name>."""

    @property
    def fits_qpl(self) -> bool:
        """Whether QPL can take it, permissions aside."""
        return (self.state.content, self.mode.content, self.type.content) == (
            "enabled",
            "shared",
            "user",
        )

    @property
    def enabled_for_user(self) -> bool:
        """Proof of SVM: idxd refuses to enable a user queue without it."""
        return self.state.content == "enabled" and self.type.content == "user"


@dataclass(frozen=True, slots=True)
class IaaDevice:
    """One device as its driver idxd shows it."""

    name: str
    """ "iax1"."""
    state: Evidence
    pasid_enabled: Evidence
    cmd_status: Evidence
    max_engines: Evidence
    queues: tuple[WorkQueue, ...]

    @property
    def path(self) -> str:
        """Its directory."""
        return f"{DEVICES}/{self.name}"

    @property
    def svm(self) -> bool:
        """Whether shared virtual memory works: an enabled user queue proves it, even if
        pasid_enabled is 0 (before about kernel 6.5 that flag tracked the kernel's own PASID)."""
        proven = any(queue.enabled_for_user for queue in self.queues)
        return proven or self.pasid_enabled.content == "1"


@dataclass(frozen=True, slots=True)
class IaaFacts:
    """All IAA of a host."""

    functions: tuple[PciFunction, ...]
    devices: tuple[IaaDevice, ...]
    caps: tuple[Evidence, ...]
    ecaps: tuple[Evidence, ...]
    """Capabilities and extended ones of the host's IOMMUs, as hexadecimal numbers."""
    sva: Evidence
    """idxd's parameter: "N" where it was loaded with shared virtual addressing off."""


def discover_iaa(root: Root) -> IaaFacts:
    """All IAA functions on the PCI bus and devices on idxd's."""
    names = [name for name in root.names(DEVICES) if re.fullmatch(r"iax\d+", name)]
    units = [name for name in root.names("/sys/class/iommu") if name.startswith("dmar")]
    return IaaFacts(
        functions=scan(root, frozenset(IAA_IDS)),
        devices=tuple(_device(root, name) for name in names),
        caps=tuple(root.read(f"/sys/class/iommu/{unit}/intel-iommu/cap") for unit in units),
        ecaps=tuple(root.read(f"/sys/class/iommu/{unit}/intel-iommu/ecap") for unit in units),
        sva=root.read("/sys/module/idxd/parameters/sva"),
    )


def _device(root: Root, name: str) -> IaaDevice:
    path = f"{DEVICES}/{name}"
    pattern = re.compile(rf"wq{name.removeprefix('iax')}\.\d+")
    queues = [entry for entry in root.names(path) if pattern.fullmatch(entry)]
    return IaaDevice(
        name=name,
        state=root.read(f"{path}/state"),
        pasid_enabled=root.read(f"{path}/pasid_enabled"),
        cmd_status=root.read(f"{path}/cmd_status"),
        max_engines=root.read(f"{path}/max_engines"),
        queues=tuple(_queue(root, path, queue) for queue in queues),
    )


def _queue(root: Root, path: str, name: str) -> WorkQueue:
    return WorkQueue(
        name=name,
        state=root.read(f"{path}/{name}/state"),
        mode=root.read(f"{path}/{name}/mode"),
        type=root.read(f"{path}/{name}/type"),
        size=root.read(f"{path}/{name}/size"),
        node=root.node(f"/dev/iax/{name}"),
    )
