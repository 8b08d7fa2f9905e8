"""PCI functions as sysfs shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.hardware.families import INTEL
from ramferry.hardware.root import Root, number
from ramferry.metrics.evidence import Evidence

DEVICES: Final = "/sys/bus/pci/devices"


@dataclass(frozen=True, slots=True)
class PciFunction:
    """One function of a device; what is absent stays evidence without content."""

    address: str
    """ "0000:6b:00.0"."""
    device: Evidence
    """Holds the device id: "0x4940"."""
    driver: Evidence
    iommu_group: Evidence
    group_members: tuple[str, ...]
    """Addresses of all functions in its IOMMU group, itself included."""
    physfn: Evidence
    """A VF's PF, where this host sees it."""
    numa_node: Evidence
    sriov_totalvfs: Evidence
    sriov_numvfs: Evidence
    virtfns: tuple[str, ...]
    """Addresses of a PF's VFs."""

    @property
    def path(self) -> str:
        """Its directory."""
        return f"{DEVICES}/{self.address}"


def scan(root: Root, device_ids: frozenset[int]) -> tuple[PciFunction, ...]:
    """The Intel functions with one of these device ids, by address."""
    found = []
    for address in root.names(DEVICES):
        path = f"{DEVICES}/{address}"
        device = root.read(f"{path}/device")
        if number(device) in device_ids and number(root.read(f"{path}/vendor")) == INTEL:
            found.append(_function(root, address, device))
    return tuple(found)


def _function(root: Root, address: str, device: Evidence) -> PciFunction:
    path = f"{DEVICES}/{address}"
    group = root.link(f"{path}/iommu_group")
    members: tuple[str, ...] = ()
    if group.content:
        members = root.names(f"/sys/kernel/iommu_groups/{group.content}/devices")
    return PciFunction(
        address=address,
        device=device,
        driver=root.link(f"{path}/driver"),
        iommu_group=group,
        group_members=members,
        physfn=root.link(f"{path}/physfn"),
        numa_node=root.read(f"{path}/numa_node"),
        sriov_totalvfs=root.read(f"{path}/sriov_totalvfs"),
        sriov_numvfs=root.read(f"{path}/sriov_numvfs"),
        virtfns=_virtfns(root, path),
    )


def _virtfns(root: Root, path: str) -> tuple[str, ...]:
    names = [name for name in root.names(path) if name.startswith("virtfn")]
    names.sort(key=lambda name: (len(name), name))
    links = (root.link(f"{path}/{name}").content for name in names)
    return tuple(link for link in links if link)
