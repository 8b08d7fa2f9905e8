"""Guests, and Intel's own driver: hosts that differ from trees c and d in one thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnosing import Change, Said, Variants, cases, check_variant
from fakes_sysroot import GEN2, HUGE, PCI, SHIM, Sysroot


def no_iommu(root: Sysroot) -> None:
    root.remove("/dev/vfio/12")
    root.remove("/dev/vfio/13")
    root.group("0000:07:00.0", "0")
    root.group("0000:07:00.1", "1")
    root.node("/dev/vfio/noiommu-0")
    root.node("/dev/vfio/noiommu-1")


def no_iommu_with_huge_pages(root: Sysroot) -> None:
    no_iommu(root)
    root.file(f"{HUGE}/nr_hugepages", "64\n")
    root.file(f"{HUGE}/free_hugepages", "64\n")


def guest_unbound(root: Sysroot) -> None:
    root.remove(f"{PCI}/0000:07:00.0/driver")
    root.remove(f"{PCI}/0000:07:00.1/driver")
    root.remove("/usr/lib/x86_64-linux-gnu/libqat.so.4")


GUEST = ("VFs", "qat-vf-only", "warning", "2 VFs without a PF, as in a guest")
OF_C: Variants = {
    no_iommu: ([GUEST, ("QAT", "qat-no-iommu", "problem", "needs huge pages, and none")], 11),
    no_iommu_with_huge_pages: ([GUEST, ("QAT", "qat-no-iommu", "warning", "nothing confines")], 10),
    guest_unbound: (
        [
            GUEST,
            ("VFs", "qat-vf-driver", "problem", "2 of 2 VFs on no driver"),
            ("QAT", "qat-libqat", "problem", "libqat.so.4"),
        ],
        11,
    ),
}


def no_package_of_intels(root: Sysroot) -> None:
    for path in ("/sys/module/usdm_drv", "/usr/local/lib/libqat_s.so", "/dev"):
        root.remove(path)


def iommu_on(root: Sysroot) -> None:
    root.file("/proc/cmdline", "intel_iommu=on\n")
    for index, address in enumerate(GEN2):
        root.group(address, str(index))


def crypto_only(root: Sysroot) -> None:
    root.file("/etc/c6xx_dev1.conf", SHIM.replace("= dc", "= asym;sym"))


def no_shim(root: Sysroot) -> None:
    root.file("/etc/c6xx_dev0.conf", SHIM.replace("[SHIM]", "[SSL]"))


def no_instances(root: Sysroot) -> None:
    root.file("/etc/c6xx_dev0.conf", SHIM.replace("Instances = 2", "Instances = 0"))


def no_processes(root: Sysroot) -> None:
    root.file("/etc/c6xx_dev0.conf", SHIM.replace("Processes = 8", "Processes = 0"))


def limited(root: Sysroot) -> None:
    root.file("/etc/c6xx_dev0.conf", SHIM.replace("Access = 0", "Access = 1"))


def no_config(root: Sysroot) -> None:
    root.remove("/etc/c6xx_dev2.conf")


def no_usdm(root: Sysroot) -> None:
    root.remove("/sys/module/usdm_drv")
    root.remove("/dev/usdm_drv")


def nodes_closed(root: Sysroot) -> None:
    root.at("/dev/qat_adf_ctl").chmod(0o600)


def half_huge_pages(root: Sysroot) -> None:
    root.file("/sys/module/usdm_drv/parameters/max_huge_pages", "64\n")


def few_huge_pages(root: Sysroot) -> None:
    half_huge_pages(root)
    root.file("/sys/module/usdm_drv/parameters/max_huge_pages_per_process", "6\n")


def intels_manager_too(root: Sysroot) -> None:
    root.node("/run/qat/qatmgr.sock")


D0, D1, D2 = GEN2
OF_D: Variants = {
    no_package_of_intels: (
        [
            ("QAT", "qat-stack", "problem", "own driver of C62x gives user space no compression"),
            ("QAT", "qat-libqat", "problem", "libqat_s.so"),
        ],
        11,
    ),
    iommu_on: ([("QAT", "qat-iommu", "problem", "the IOMMU is on")], 11),
    crypto_only: ([(D1, "qat-config", "problem", "services are asym;sym: no compression")], 0),
    no_shim: ([(D0, "qat-config", "problem", "there is no section [SHIM]")], 0),
    no_instances: ([(D0, "qat-config", "problem", "has no compression instances")], 0),
    no_processes: ([(D0, "qat-config", "problem", "lets no process in")], 0),
    limited: ([(D0, "qat-config", "warning", "keeps each process to this endpoint")], 0),
    no_config: ([(D2, "qat-config", "problem", "no configuration file")], 0),
    no_usdm: (
        [
            ("QAT", "qat-usdm", "problem", "usdm_drv is not loaded"),
            ("QAT", "qat-node", "problem", "/dev/usdm_drv not there"),
        ],
        11,
    ),
    nodes_closed: ([("QAT", "qat-node", "problem", "alice may not open /dev/qat_adf_ctl")], 11),
    half_huge_pages: ([("QAT", "qat-memory", "warning", "only where both its limits")], 0),
    few_huge_pages: ([("QAT", "qat-memory", "warning", "its 6 huge pages a process are")], 0),
    intels_manager_too: ([("QAT", "qat-stack", "problem", "two QAT stacks at once")], 11),
}


@pytest.mark.parametrize(("tree", "change", "said", "code"), [*cases("c", OF_C), *cases("d", OF_D)])
def test_a_variant_says_just_what_differs(
    tree: str, change: Change, said: Said, code: int, tmp_path: Path
) -> None:
    check_variant(tree, change, said, code, tmp_path)
