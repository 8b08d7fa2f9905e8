"""System roots with QAT and IAA devices, as a real host would show them.

Whoever runs the tests owns the files, so the fake /etc/passwd and /etc/group call that user root
and that group qat; ``alice`` is a member of qat, ``mallory`` of nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

PCI = "/sys/bus/pci/devices"
PF = "0000:6b:00.0"
PF_PATH = f"{PCI}/{PF}"
GEN2 = ("0000:3d:00.0", "0000:3f:00.0", "0000:41:00.0")
IAX = "/sys/bus/dsa/devices/iax1"
VFS = 16
HUGE = "/sys/kernel/mm/hugepages/hugepages-2048kB"
LIBRARIES = "/usr/lib/x86_64-linux-gnu"

TRIXIE = 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'
LIMITS = "Max locked memory         {0}              {0}              bytes     \n"
SHIM = """
[GENERAL]
ServicesEnabled = dc   # compression only
[SHIM]
NumberDcInstances = 2
NumProcesses = 8
LimitDevAccess = 0
"""


class Sysroot:
    """A directory that stands in for /; paths are those of the host it shows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        uid, gid = os.getuid(), os.getgid()
        self.file("/etc/os-release", TRIXIE)
        self.file("/etc/passwd", f"root:x:{uid}:{gid}::/:/bin/sh\n" + _users())
        self.file("/etc/group", f"qat:x:{gid}:alice\n")
        self.file("/proc/sys/kernel/osrelease", "6.12.48\n")
        self.file("/proc/version", "Linux version 6.12.48 (debian-kernel@lists.debian.org)\n")
        self.file("/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 password=hunter2 quiet\n")
        self.file("/proc/self/limits", LIMITS.format(64 << 20))
        self.file(f"{HUGE}/nr_hugepages", "0\n")
        self.file(f"{HUGE}/free_hugepages", "0\n")
        self.file("/sys/devices/system/cpu/online", "0-15\n")
        self.folder(PCI)

    def at(self, path: str) -> Path:
        """Where a path of the host really is."""
        return self.path / path.lstrip("/")

    def folder(self, path: str) -> None:
        self.at(path).mkdir(parents=True, exist_ok=True)

    def file(self, path: str, text: str = "", mode: int = 0o644) -> None:
        where = self.at(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)
        where.chmod(mode)

    def link(self, path: str, target: str) -> None:
        where = self.at(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.unlink(missing_ok=True)
        where.symlink_to(target)

    def node(self, path: str, mode: int = 0o660) -> None:
        self.file(path, mode=mode)

    def remove(self, path: str) -> None:
        where = self.at(path)
        if where.is_dir() and not where.is_symlink():
            for child in where.iterdir():
                self.remove(f"{path}/{child.name}")
            where.rmdir()
        else:
            where.unlink()

    def pci(self, address: str, device: int, driver: str | None, *, iaa: bool = False) -> str:
        """One PCI function; returns its path."""
        path = f"{PCI}/{address}"
        self.file(f"{path}/vendor", "0x8086\n")
        self.file(f"{path}/device", f"{device:#06x}\n")
        self.file(f"{path}/class", "0x088000\n" if iaa else "0x0b4000\n")
        self.file(f"{path}/revision", "0x40\n")
        self.file(f"{path}/numa_node", "0\n")
        if driver:
            self.link(f"{path}/driver", f"../../../../bus/pci/drivers/{driver}")
        return path

    def module(self, name: str) -> None:
        """A module that is loaded."""
        self.folder(f"/sys/module/{name}")

    def firmware(self, name: str, folder: str = "/lib/firmware", end: str = "") -> None:
        """A device's two firmware files."""
        for file in (f"{name}.bin", f"{name}_mmp.bin"):
            self.file(f"{folder}/{file}{end}")

    def group(self, address: str, group: str) -> None:
        """An IOMMU group with that function as a member."""
        self.link(f"{PCI}/{address}/iommu_group", f"../../../../kernel/iommu_groups/{group}")
        self.link(f"/sys/kernel/iommu_groups/{group}/devices/{address}", f"../../{address}")

    def pf(self, address: str, services: str = "dc", vfs: int = VFS, group: int = 419) -> None:
        """A gen4 PF of the kernel's driver with its VFs on vfio-pci."""
        path = self.pci(address, 0x4940, "4xxx")
        self.module("qat_4xxx")
        self.firmware("qat_4xxx")
        for name, text in (
            ("state", "up"),
            ("cfg_services", services),
            ("num_rps", "64"),
            ("pm_idle_enabled", "1"),
            ("auto_reset", "off"),
        ):
            self.file(f"{path}/qat/{name}", f"{text}\n")
        self.unsafe(path)
        self.file(f"{path}/sriov_totalvfs", "16\n")
        self.file(f"{path}/sriov_numvfs", f"{vfs}\n")
        for index in range(vfs):
            vf = _vf(address, index)
            self.vf(vf, str(group + index))
            self.link(f"{PCI}/{vf}/physfn", f"../{address}")
            self.link(f"{path}/virtfn{index}", f"../{vf}")

    def unsafe(self, path: str) -> None:
        """What must not be read: a pipe that nobody writes hangs whoever opens it to read."""
        os.mkfifo(self.at(f"{path}/qat/rp2srv"))
        self.folder("/sys/kernel/debug/qat_4xxx_0000:6b:00.0/heartbeat")
        fifo = self.at("/sys/kernel/debug/qat_4xxx_0000:6b:00.0/heartbeat/status")
        if not fifo.exists():
            os.mkfifo(fifo)

    def vf(self, address: str, group: str) -> None:
        """A gen4 VF on vfio-pci with its group and node."""
        self.pci(address, 0x4941, "vfio-pci")
        self.group(address, group)
        self.node(f"/dev/vfio/{group}")
        self.node("/dev/vfio/vfio", 0o666)

    def qatlib(self) -> None:
        """The distribution's QATzip 1.3.1 with qatlib, and qat.service running."""
        self.file(f"{LIBRARIES}/libqatzip.so.3.2.0")
        self.link(f"{LIBRARIES}/libqatzip.so.3", "libqatzip.so.3.2.0")
        self.file(f"{LIBRARIES}/libqat.so.4.3.0")
        self.link(f"{LIBRARIES}/libqat.so.4", "libqat.so.4.3.0")
        self.node("/run/qat/qatmgr.sock")
        self.file("/etc/sysconfig/qat", "POLICY=1\nServicesEnabled=dc\n")

    def queue(self, name: str, **changed: str) -> None:
        """A work queue below iax1 that fits QPL, but for what is changed."""
        values = {"state": "enabled", "mode": "shared", "type": "user", "size": "128"}
        for key, value in {**values, **changed}.items():
            self.file(f"{IAX}/{name}/{key}", f"{value}\n")

    def out_of_tree(self) -> None:
        """Intel's own package: memory driver, nodes, library, and a QATzip built against it."""
        self.file("/sys/module/usdm_drv/parameters/max_huge_pages", "0\n")
        self.file("/sys/module/usdm_drv/parameters/max_huge_pages_per_process", "0\n")
        self.at("/sys/module/usdm_drv").chmod(0o755)
        for node in ("usdm_drv", "qat_adf_ctl", "qat_dev_processes"):
            self.node(f"/dev/{node}")
        self.file("/usr/local/lib/libqat_s.so")
        self.file("/usr/local/lib/libqatzip.so.3.2.0")
        self.link("/usr/local/lib/libqatzip.so.3", "libqatzip.so.3.2.0")
        self.file("/sys/kernel/debug/qae_mem_dbg/qae_mem_slabs")


def tree_a(path: Path, vfs: int = VFS) -> Sysroot:
    """A gen4 PF with dc and its VFs, all set up."""
    root = Sysroot(path)
    root.file("/proc/cmdline", "BOOT_IMAGE=/vmlinuz password=hunter2 intel_iommu=on\n")
    root.pf(PF, vfs=vfs)
    root.qatlib()
    return root


def tree_b(path: Path) -> Sysroot:
    """As a, with crypto services only."""
    root = tree_a(path)
    root.file(f"{PF_PATH}/qat/cfg_services", "sym;asym\n")
    return root


def tree_c(path: Path) -> Sysroot:
    """A guest with two VFs."""
    root = Sysroot(path)
    root.vf("0000:07:00.0", "12")
    root.vf("0000:07:00.1", "13")
    root.qatlib()
    root.remove("/run/qat/qatmgr.sock")
    root.remove("/etc/sysconfig/qat")
    return root


def tree_d(path: Path) -> Sysroot:
    """A C62x card, three PFs, with Intel's own driver; no IOMMU."""
    root = Sysroot(path)
    for index, address in enumerate(GEN2):
        root.pci(address, 0x37C8, "c6xx")
        root.file(f"/etc/c6xx_dev{index}.conf", SHIM)
    root.out_of_tree()
    return root


def tree_e(path: Path) -> Sysroot:
    """An IAA device with a shared user queue and SVM."""
    root = Sysroot(path)
    root.file("/proc/cmdline", "BOOT_IMAGE=/vmlinuz intel_iommu=on,sm_on\n")
    iaa(root)
    return root


def iaa(root: Sysroot) -> None:
    """What e adds to a host."""
    root.pci("0000:6a:02.0", 0x0CFE, "idxd", iaa=True)
    root.group("0000:6a:02.0", "7")
    for name, value in (
        ("state", "enabled"),
        ("pasid_enabled", "1"),
        ("max_work_queues", "8"),
        ("max_engines", "8"),
        ("cmd_status", "0x0"),
    ):
        root.file(f"{IAX}/{name}", f"{value}\n")
    root.queue("wq1.0")
    root.node("/dev/iax/wq1.0")
    root.file("/sys/class/iommu/dmar0/intel-iommu/ecap", "90020000000\n")


def tree_f(path: Path) -> Sysroot:
    """As e, without scalable mode, so without SVM."""
    root = tree_e(path)
    root.file("/proc/cmdline", "BOOT_IMAGE=/vmlinuz intel_iommu=on\n")
    root.file(f"{IAX}/pasid_enabled", "0\n")
    root.file(f"{IAX}/cmd_status", "0x80110000\n")
    root.queue("wq1.0", state="disabled", type="none")
    root.remove("/dev/iax")
    return root


def tree_g(path: Path) -> Sysroot:
    """No device at all."""
    root = Sysroot(path)
    root.folder("/sys/bus/dsa/devices")
    return root


TREES: dict[str, Callable[[Path], Sysroot]] = {
    "a": tree_a,
    "b": tree_b,
    "c": tree_c,
    "d": tree_d,
    "e": tree_e,
    "f": tree_f,
    "g": tree_g,
}


def _users() -> str:
    return "alice:x:4321:4321::/:/bin/sh\nmallory:x:4322:4322::/:/bin/sh\n"


def _vf(pf: str, index: int) -> str:
    """The address of a PF's VF, eight functions to a slot: 6b:00.1 … 6b:02.0."""
    slot, function = divmod(index + 1, 8)
    return f"{pf.rpartition(':')[0]}:{slot:02x}.{function}"
