"""The QAT devices there are, by PCI id.

Sources: DPDK ``doc/guides/cryptodevs/qat.rst``; qatlib ``INSTALL`` and ``README.md``; the kernel's
``drivers/crypto/intel/qat`` (ids, modules, firmware: ``ADF_*_FW`` and ``ADF_*_MMP``);
intermediate buffers from qatlib 22.07 ``sal_compression.c``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

INTEL: Final = 0x8086


@dataclass(frozen=True, slots=True)
class QatFamily:
    """One kind of QAT device."""

    name: str
    generation: int
    pf: int
    """PCI device id of a physical function."""
    vf: int
    driver: str
    """Name under /sys/bus/pci/drivers; also the beginning of /etc/<driver>_devN.conf."""
    module: str
    intermediate: int | None
    """Intermediate buffers of each compression instance; None if nothing is documented."""
    firmware: str | None
    """What the names of its two firmware files begin with; None if it is not known."""

    @property
    def firmware_files(self) -> tuple[str, ...]:
        """What the module asks the kernel for before it takes a PF; it needs both."""
        return (f"{self.firmware}.bin", f"{self.firmware}_mmp.bin") if self.firmware else ()

    @property
    def in_tree(self) -> bool:
        """Whether the kernel's own driver, with qatlib, gives compression to user space."""
        return self.generation >= 4


FAMILIES: Final = (
    QatFamily("DH895xCC", 1, 0x0435, 0x0443, "dh895xcc", "qat_dh895xcc", 12, "qat_895xcc"),
    QatFamily("C62x", 2, 0x37C8, 0x37C9, "c6xx", "qat_c62x", 20, "qat_c62x"),
    QatFamily("C3xxx", 2, 0x19E2, 0x19E3, "c3xxx", "qat_c3xxx", 12, "qat_c3xxx"),
    QatFamily("D15xx", 2, 0x6F54, 0x6F55, "d15xx", "qat_d15xx", 20, "qat_d15xx"),
    QatFamily("200xx", 2, 0x18EE, 0x18EF, "200xx", "qat_200xx", 12, None),
    QatFamily("C4xxx", 3, 0x18A0, 0x18A1, "c4xxx", "qat_c4xxx", None, None),
    QatFamily("4xxx", 4, 0x4940, 0x4941, "4xxx", "qat_4xxx", 0, "qat_4xxx"),
    QatFamily("401xx", 4, 0x4942, 0x4943, "4xxx", "qat_4xxx", 0, "qat_4xxx"),
    QatFamily("402xx", 4, 0x4944, 0x4945, "4xxx", "qat_4xxx", 0, "qat_402xx"),
    QatFamily("420xx", 5, 0x4946, 0x4947, "420xx", "qat_420xx", 0, "qat_420xx"),
    QatFamily("6xxx", 6, 0x4948, 0x4949, "6xxx", "qat_6xxx", 0, "qat_6xxx"),
)

BY_ID: Final = {identity: family for family in FAMILIES for identity in (family.pf, family.vf)}
"""PCI device id of a PF or VF → its family."""

BY_NAME: Final = {family.name: family for family in FAMILIES}

COMPRESSION_SERVICES: Final = frozenset({"dc", "dcc"})
"""Members of cfg_services that compress and decompress; dcc adds chaining with a hash."""

SERVICES: Final = COMPRESSION_SERVICES | {"sym", "asym", "decomp"}
"""All members of cfg_services (kernel ABI ``sysfs-driver-qat``); decomp only decompresses."""

INSTANCES_ALONE: Final = 4
INSTANCES_SHARED: Final = 2
"""Compression instances of one gen4 VF, which has four ring pairs: dc alone takes all of them, dc
beside another service two (Intel's qatlib documentation, configuration)."""

IAA_IDS: Final = {0x0CFE: "IAA", 0x1216: "IAA (Diamond Rapids)", 0xB02D: "IAA (Panther Lake)"}
"""PCI device id → name. 0x0b25 is DSA, which shares the driver idxd and compresses nothing."""


def instances(services: str) -> int | None:
    """Compression instances that one VF of a device with these cfg_services gives.

    None if that is not documented: three services (gen6), or a service of an unknown name.
    """
    names = services.split(";")
    if not COMPRESSION_SERVICES.intersection(names):
        return 0
    if not SERVICES.issuperset(names) or len(names) > 2:
        return None
    return INSTANCES_ALONE if len(names) == 1 else INSTANCES_SHARED
