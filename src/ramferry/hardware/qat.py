"""QAT functions: what the kernel shows of each.

Paths from the kernel's ABI documents ``sysfs-driver-qat`` and ``sysfs-driver-qat_ras``. Only
in-tree PFs from gen4 on have a ``qat`` directory; distributions backport, so what counts is which
files exist, not the kernel's version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.hardware.families import BY_ID, QatFamily
from ramferry.hardware.kernel import discover_firmware
from ramferry.hardware.pci import PciFunction, scan
from ramferry.hardware.root import Node, Root, number
from ramferry.metrics.evidence import Evidence

VFIO_DRIVER: Final = "vfio-pci"


@dataclass(frozen=True, slots=True)
class QatFunction:
    """One physical or virtual function of a QAT device."""

    pci: PciFunction
    family: QatFamily
    virtual: bool
    sysfs: bool
    """Whether it has a ``qat`` directory."""
    state: Evidence
    services: Evidence
    """cfg_services: "dc", "sym;asym" …"""
    fatal_errors: Evidence
    config: Evidence
    """A PF's /etc/<driver>_devN.conf of the out-of-tree driver."""
    node: Node
    """A VF's /dev/vfio/<group>."""
    firmware: tuple[Evidence, ...]
    """Where the kernel finds each firmware file that a PF's driver loads; without content if it
    finds none."""

    @property
    def address(self) -> str:
        """ "0000:6b:00.0"."""
        return self.pci.address

    @property
    def on_vfio(self) -> bool:
        """Whether user space can take it."""
        return self.pci.driver.content == VFIO_DRIVER

    @property
    def without_iommu(self) -> bool:
        """Whether vfio serves it in no-IOMMU mode."""
        return self.node.evidence.path.startswith("/dev/vfio/noiommu-")


def discover_qat(root: Root) -> tuple[QatFunction, ...]:
    """All QAT functions on the PCI bus, by address."""
    functions = []
    counted: dict[str, int] = {}
    for pci in scan(root, frozenset(BY_ID)):
        family = BY_ID[number(pci.device) or 0]
        virtual = number(pci.device) == family.vf
        # The out-of-tree driver numbers the PFs of one driver in the order of the bus.
        index = counted.setdefault(family.driver, 0)
        counted[family.driver] += 0 if virtual else 1
        functions.append(_function(root, pci, family, virtual=virtual, index=index))
    return tuple(functions)


def _function(
    root: Root, pci: PciFunction, family: QatFamily, *, virtual: bool, index: int
) -> QatFunction:
    return QatFunction(
        pci=pci,
        family=family,
        virtual=virtual,
        sysfs=root.exists(f"{pci.path}/qat"),
        state=root.read(f"{pci.path}/qat/state"),
        services=root.read(f"{pci.path}/qat/cfg_services"),
        fatal_errors=root.read(f"{pci.path}/qat_ras/errors_fatal"),
        config=root.read(f"/etc/{family.driver}_dev{index}.conf"),
        node=_vfio_node(root, pci),
        firmware=() if virtual else discover_firmware(root, family.firmware_files),
    )


def _vfio_node(root: Root, pci: PciFunction) -> Node:
    """A group's node; in no-IOMMU mode vfio puts noiommu- before its number."""
    group = pci.iommu_group.content or "none"
    plain = root.node(f"/dev/vfio/{group}")
    if plain.exists:
        return plain
    without = root.node(f"/dev/vfio/noiommu-{group}")
    return without if without.exists else plain
