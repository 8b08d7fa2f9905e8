"""All facts of a host, read in one go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ramferry.hardware import pci
from ramferry.hardware.distribution import Distribution, distribution
from ramferry.hardware.iaa import IaaFacts, discover_iaa
from ramferry.hardware.identity import Identity
from ramferry.hardware.kernel import Kernel, discover_kernel, paging_of
from ramferry.hardware.libraries import Libraries, discover_libraries
from ramferry.hardware.qat import QatFunction, discover_qat
from ramferry.hardware.root import Node, Root, natural, number, only
from ramferry.metrics.evidence import Evidence

OUT_OF_TREE_NODES: Final = ("/dev/usdm_drv", "/dev/qat_adf_ctl", "/dev/qat_dev_processes")
"""Device nodes of Intel's own driver, in the order a process opens them."""

UNIT: Final = "qat.service"
UNIT_FOLDERS: Final = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
"""Where systemd looks for a unit, in its order (``man 5 systemd.unit``)."""

ENABLED: Final = f"/etc/systemd/system/multi-user.target.wants/{UNIT}"
"""What ``systemctl enable qat`` makes: the unit says WantedBy=multi-user.target."""

ACCEL_CONFIG: Final = ("/usr/bin/accel-config", "/usr/local/bin/accel-config")
LOCKED_MEMORY: Final = "/etc/security/limits.d/60-qat.conf"
"""The file that the doctor advises to write."""

HUGE_PAGES: Final = "/sys/kernel/mm/hugepages/hugepages-2048kB"
CAP_IPC_LOCK: Final = 14
UNLIMITED: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the memory that a process may pin."""

    memlock: Evidence
    """The line of /proc/self/limits."""
    capabilities: Evidence
    """CapEff of /proc/self/status; CAP_IPC_LOCK lifts the limit."""
    huge_pages: Evidence
    """Pages of 2 MiB that are reserved."""
    free_huge_pages: Evidence
    usdm_huge_pages: Evidence
    usdm_huge_pages_per_process: Evidence
    granted: Evidence
    """/etc/security/limits.d/60-qat.conf, which counts from the next login on."""

    @property
    def memlock_bytes(self) -> int | None:
        """The soft limit; None if it is unlimited or not known."""
        found = re.match(r"Max locked memory\s+(\d{1,18})\s", self.memlock.content or "")
        return int(found[1]) if found else None

    @property
    def granted_bytes(self) -> int:
        """Bytes that group qat may lock after its next login, by that file; 0 if it does not
        say."""
        pattern = r"^@qat\s+(?:-|soft)\s+memlock\s+(\d{1,15}|unlimited)\s*$"
        said = re.findall(pattern, self.granted.content or "", re.MULTILINE)
        return max(
            (UNLIMITED if size == "unlimited" else int(size) << 10 for size in said), default=0
        )

    @property
    def may_lock_all(self) -> bool:
        """Whether this process has CAP_IPC_LOCK."""
        found = re.match(r"CapEff:\s+([0-9a-f]{1,16})$", self.capabilities.content or "")
        return bool(found and int(found[1], 16) >> CAP_IPC_LOCK & 1)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What was found; nothing is judged yet."""

    identity: Identity
    distribution: Distribution
    kernel: Evidence
    build: Evidence
    """/proc/version, where some distributions hide the stable release."""
    linux: Kernel
    paging: Evidence
    """Whether the CPUs use 5-level paging: "la57" or "no la57"."""
    iommu_groups: Evidence
    pci_bus: Evidence
    qat: tuple[QatFunction, ...]
    iaa: IaaFacts
    vfio: Node
    """/dev/vfio/vfio, which every process that takes a VF opens first."""
    manager: Node
    """qatmgr's socket."""
    settings: Evidence
    """Contents of qat.service's settings file."""
    unit: Node
    """qat.service's unit file."""
    enabled: Evidence
    """The link that starts qat.service at boot."""
    accel_config: Node
    """The tool that sets up IAA."""
    qat_group: Evidence
    usdm_module: Node
    out_of_tree_nodes: tuple[Node, ...]
    slabs: Node
    """Where the out-of-tree memory driver shows what is in use."""
    libraries: Libraries
    limits: Limits
    numa_nodes: Evidence
    cpus: Evidence
    links: tuple[Evidence, ...]
    """Speed in Mbit/s of each network interface that is up and tells one."""

    @property
    def cmdline(self) -> Evidence:
        """The kernel's command line: its words about the IOMMU and paging."""
        return self.linux.cmdline

    @property
    def physical(self) -> tuple[QatFunction, ...]:
        """The PFs of QAT."""
        return tuple(function for function in self.qat if not function.virtual)

    @property
    def virtual(self) -> tuple[QatFunction, ...]:
        """The VFs of QAT."""
        return tuple(function for function in self.qat if function.virtual)

    def vfs_of(self, physical: QatFunction) -> tuple[QatFunction, ...]:
        """The VFs of one PF, as their own links name it."""
        return tuple(vf for vf in self.virtual if vf.pci.physfn.content == physical.address)

    @property
    def orphans(self) -> tuple[QatFunction, ...]:
        """VFs whose PF is out of sight, as in a guest."""
        addresses = {physical.address for physical in self.physical}
        return tuple(vf for vf in self.virtual if vf.pci.physfn.content not in addresses)

    @property
    def iommu_on(self) -> bool:
        """Whether the kernel runs with an IOMMU."""
        protected = any(
            function.pci.iommu_group.content and not function.without_iommu for function in self.qat
        )
        return protected or self.iommu_groups.content not in (None, "0 entries")


def discover(root: Root, identity: Identity) -> HostFacts:
    """Read all facts of the system below ``root``."""
    return HostFacts(
        identity=identity,
        distribution=distribution(root.read("/etc/os-release")),
        kernel=root.read("/proc/sys/kernel/osrelease"),
        build=root.read("/proc/version"),
        linux=discover_kernel(root),
        paging=paging_of(root),
        iommu_groups=root.listing("/sys/kernel/iommu_groups")[1],
        pci_bus=root.listing(pci.DEVICES)[1],
        qat=discover_qat(root),
        iaa=discover_iaa(root),
        vfio=root.node("/dev/vfio/vfio"),
        manager=root.node("/run/qat/qatmgr.sock"),
        settings=root.read("/etc/sysconfig/qat"),
        unit=_first(root, *(f"{folder}/{UNIT}" for folder in UNIT_FOLDERS)),
        enabled=root.link(ENABLED),
        accel_config=_first(root, *ACCEL_CONFIG),
        qat_group=only(root.read("/etc/group"), "qat:"),
        usdm_module=root.node("/sys/module/usdm_drv"),
        out_of_tree_nodes=tuple(root.node(path) for path in OUT_OF_TREE_NODES),
        slabs=root.node("/sys/kernel/debug/qae_mem_dbg/qae_mem_slabs"),
        libraries=discover_libraries(root),
        limits=_limits(root),
        numa_nodes=root.read("/sys/devices/system/node/online"),
        cpus=root.read("/sys/devices/system/cpu/online"),
        links=_links(root),
    )


def count_list(text: str | None) -> int:
    """How many numbers a kernel list names: "0-3,8" names 5; 0 if it is not such a list."""
    total = 0
    for part in (text or "").split(","):
        low, _, high = part.strip().partition("-")
        first, last = natural(low), natural(high or low)
        if first is None or last is None:
            return 0
        total += max(0, last - first + 1)
    return total


def _limits(root: Root) -> Limits:
    parameters = "/sys/module/usdm_drv/parameters"
    return Limits(
        memlock=only(root.read("/proc/self/limits"), "Max locked memory"),
        capabilities=only(root.read("/proc/self/status"), "CapEff:"),
        huge_pages=root.read(f"{HUGE_PAGES}/nr_hugepages"),
        free_huge_pages=root.read(f"{HUGE_PAGES}/free_hugepages"),
        usdm_huge_pages=root.read(f"{parameters}/max_huge_pages"),
        usdm_huge_pages_per_process=root.read(f"{parameters}/max_huge_pages_per_process"),
        granted=root.read(LOCKED_MEMORY),
    )


def _first(root: Root, *paths: str) -> Node:
    """The first that exists; if none does, the first."""
    nodes = [root.node(path) for path in paths]
    return next((node for node in nodes if node.exists), nodes[0])


def _links(root: Root) -> tuple[Evidence, ...]:
    folder = "/sys/class/net"
    up = [
        name
        for name in root.names(folder)
        if root.read(f"{folder}/{name}/operstate").content == "up"
    ]
    speeds = [root.read(f"{folder}/{name}/speed") for name in up]
    return tuple(speed for speed in speeds if (number(speed) or 0) > 0)
