"""Hosts that differ from tree a, the kernel's driver with qatlib, in one thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnosing import Change, Said, Variants, cases, check_variant, report_of
from fakes_sysroot import HUGE, LIBRARIES, LIMITS, PCI, PF, PF_PATH, TREES, VFS, Sysroot, iaa

PF2 = "0000:70:00.0"


def state_down(root: Sysroot) -> None:
    root.file(f"{PF_PATH}/qat/state", "down\n")


def state_missing(root: Sysroot) -> None:
    root.remove(f"{PF_PATH}/qat/state")


def state_is_a_directory(root: Sysroot) -> None:
    state_missing(root)
    root.folder(f"{PF_PATH}/qat/state")


def no_vfs(root: Sysroot) -> None:
    root.file(f"{PF_PATH}/sriov_numvfs", "0\n")
    for index in range(VFS):
        vf = root.at(f"{PF_PATH}/virtfn{index}").readlink().name
        root.remove(f"{PF_PATH}/virtfn{index}")
        root.remove(f"{PCI}/{vf}")


def some_vfs_hidden(root: Sysroot) -> None:
    root.remove(f"{PF_PATH}/virtfn15")


def no_sriov(root: Sysroot) -> None:
    no_vfs(root)
    root.remove(f"{PF_PATH}/sriov_numvfs")


def no_driver(root: Sysroot) -> None:
    root.remove(f"{PF_PATH}/driver")


def module_not_loaded(root: Sysroot) -> None:
    no_driver(root)
    root.remove("/sys/module/qat_4xxx")


def pf_lent(root: Sysroot) -> None:
    root.link(f"{PF_PATH}/driver", "../../drivers/vfio-pci")


def no_cfg_services(root: Sysroot) -> None:
    root.file("/proc/sys/kernel/osrelease", "5.19.17\n")
    root.remove(f"{PF_PATH}/qat/cfg_services")


def no_qat_directory(root: Sysroot) -> None:
    root.remove(f"{PF_PATH}/qat")


def node_closed(root: Sysroot) -> None:
    root.at("/dev/vfio/419").chmod(0o600)


def all_nodes_closed(root: Sysroot) -> None:
    for index in range(VFS):
        root.at(f"/dev/vfio/{419 + index}").chmod(0o600)


def no_nodes(root: Sysroot) -> None:
    root.remove("/dev/vfio")


def vfio_closed(root: Sysroot) -> None:
    root.at("/dev/vfio/vfio").chmod(0o600)


def vfio_missing(root: Sysroot) -> None:
    root.remove("/dev/vfio/vfio")


def vf_elsewhere(root: Sysroot) -> None:
    root.link(f"{PCI}/0000:6b:00.1/driver", "../../drivers/4xxxvf")


def no_groups(root: Sysroot) -> None:
    for index in range(VFS):
        vf = root.at(f"{PF_PATH}/virtfn{index}").readlink().name
        root.remove(f"{PCI}/{vf}/iommu_group")
    root.remove("/sys/kernel/iommu_groups")


def shared_group(root: Sysroot) -> None:
    root.link("/sys/kernel/iommu_groups/419/devices/0000:6b:00.7", "../../0000:6b:00.7")


def both_stacks(root: Sysroot) -> None:
    root.out_of_tree()


def memlock_small(root: Sysroot) -> None:
    root.file("/proc/self/limits", LIMITS.format(8 << 20))


def memlock_unread(root: Sysroot) -> None:
    root.remove("/proc/self/limits")


def huge_pages_short(root: Sysroot) -> None:
    root.file(f"{HUGE}/nr_hugepages", "16\n")
    root.file(f"{HUGE}/free_hugepages", "4\n")


def numa_unknown(root: Sysroot, online: str) -> None:
    root.file(f"{PF_PATH}/numa_node", "-1\n")
    root.file("/sys/devices/system/node/online", f"{online}\n")


def numa_unknown_of_two(root: Sysroot) -> None:
    numa_unknown(root, "0-1")


def numa_unknown_of_one(root: Sysroot) -> None:
    numa_unknown(root, "0")


def with_iaa(root: Sysroot) -> None:
    iaa(root)


def even_and_odd(root: Sysroot) -> None:
    """The driver's defaults: even PFs for cryptography, odd ones for compression."""
    root.file(f"{PF_PATH}/qat/cfg_services", "sym;asym\n")
    root.pf(PF2, "dc", group=440)
    root.file("/etc/sysconfig/qat", "POLICY=0\n")


def pair(root: Sysroot) -> None:
    root.file(f"{PF_PATH}/qat/cfg_services", "sym;dc\n")
    root.file("/etc/sysconfig/qat", "ServicesEnabled=dc;sym\n")


def decompression_only(root: Sysroot) -> None:
    root.file(f"{PF_PATH}/qat/cfg_services", "decomp\n")
    root.file("/etc/sysconfig/qat", "POLICY=1\n")


def three_services(root: Sysroot) -> None:
    root.file(f"{PF_PATH}/qat/cfg_services", "sym;asym;dc\n")
    root.file("/etc/sysconfig/qat", "POLICY=1\n")


def no_libqatzip(root: Sysroot) -> None:
    root.remove(f"{LIBRARIES}/libqatzip.so.3")


def no_package(root: Sysroot) -> None:
    no_libqatzip(root)
    text = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
    root.file("/etc/os-release", text)


def wrong_soname(root: Sysroot) -> None:
    no_libqatzip(root)
    root.file(f"{LIBRARIES}/libqatzip.so.1")


def no_libqat(root: Sysroot) -> None:
    root.remove(f"{LIBRARIES}/libqat.so.4")


def no_manager(root: Sysroot) -> None:
    root.remove("/run/qat/qatmgr.sock")


def trailing_comment(root: Sysroot) -> None:
    root.file("/etc/sysconfig/qat", "ServicesEnabled=dc # compression\n")


def bad_kernel(root: Sysroot) -> None:
    root.file("/proc/sys/kernel/osrelease", "6.1.0-37-amd64\n")
    root.file("/proc/version", "Linux version 6.1.0-37-amd64 #1 SMP Debian 6.1.140-1\n")


def good_kernel(root: Sysroot) -> None:
    root.file("/proc/sys/kernel/osrelease", "6.1.0-40-amd64\n")
    root.file("/proc/version", "Linux version 6.1.0-40-amd64 #1 SMP Debian 6.1.153-1\n")


def fatal_errors(root: Sysroot) -> None:
    root.file(f"{PF_PATH}/qat_ras/errors_fatal", "2\n")


def half_sysfs(root: Sysroot) -> None:
    """What is left of a device that vanished while it was read."""
    for name in ("qat", "driver", "sriov_numvfs", "sriov_totalvfs", "numa_node"):
        root.remove(f"{PF_PATH}/{name}")


BUSY = "alice may not open 1 of 16 VFs: they count as busy"
NO_SESSION = "only a session can show whether"

OF_A: Variants = {
    state_down: ([(PF, "qat-state", "problem", "is down")], 11),
    state_missing: ([(PF, "qat-state", "warning", "does not tell whether it is up")], 0),
    state_is_a_directory: ([(PF, "qat-state", "warning", "does not tell whether it is up")], 0),
    no_vfs: ([(PF, "qat-vfs", "problem", "no VFs are made (it can have 16)")], 11),
    some_vfs_hidden: ([(PF, "qat-vfs", "warning", "16 VFs announced, 15 visible")], 0),
    no_sriov: ([(PF, "qat-vfs", "problem", "shows no SR-IOV")], 11),
    no_driver: ([(PF, "qat-driver", "problem", "qat_4xxx is loaded and refused it")], 11),
    module_not_loaded: ([(PF, "qat-driver", "problem", "the module qat_4xxx is not loaded")], 11),
    pf_lent: ([(PF, "qat-driver", "problem", "bound to vfio-pci: this host cannot use it")], 11),
    no_cfg_services: ([(PF, "qat-services", "warning", NO_SESSION)], 10),
    no_qat_directory: ([(PF, "qat-services", "warning", NO_SESSION)], 10),
    node_closed: ([(PF, "qat-vf-node", "warning", BUSY)], 0),
    all_nodes_closed: ([(PF, "qat-vf-node", "problem", "alice may not open 16 of 16 VFs")], 11),
    no_nodes: ([(PF, "qat-vf-node", "problem", "no node of 16 VFs under /dev/vfio")], 11),
    vfio_closed: ([("QAT", "qat-vfio", "problem", "alice may not open /dev/vfio/vfio")], 11),
    vfio_missing: ([("QAT", "qat-vfio", "warning", "/dev/vfio/vfio is not there")], 0),
    vf_elsewhere: ([(PF, "qat-vf-driver", "warning", "1 of 16 VFs on 4xxxvf instead of")], 0),
    no_groups: ([(PF, "qat-iommu-group", "problem", "16 VFs without an IOMMU group")], 11),
    shared_group: ([(PF, "qat-iommu-group", "warning", "1 VF in an IOMMU group with other")], 0),
    both_stacks: ([("QAT", "qat-stack", "problem", "two QAT stacks at once")], 11),
    memlock_small: ([("QAT", "qat-memlock", "problem", "limited to 8192 KiB, and 38 MiB")], 11),
    memlock_unread: ([("QAT", "qat-memlock", "warning", "cannot be read")], 0),
    huge_pages_short: ([("QAT", "qat-huge-pages", "warning", "4 huge pages are free where")], 0),
    numa_unknown_of_two: ([(PF, "qat-numa", "warning", "on which of 2 NUMA nodes")], 0),
    numa_unknown_of_one: ([], 0),
    with_iaa: ([], 0),
    even_and_odd: ([(PF, "qat-services", "warning", f"no compression, while {PF2} has it")], 0),
    pair: ([], 0),
    decompression_only: ([(PF, "qat-services", "problem", "only decompression")], 11),
    three_services: ([(PF, "qat-services", "warning", "how many instances a VF brings")], 0),
    no_libqatzip: ([("QAT", "qat-libqatzip", "problem", "libqatzip.so.3 is not installed")], 11),
    no_package: ([("QAT", "qat-libqatzip", "problem", "12 (bookworm) has no package of it")], 11),
    wrong_soname: ([("QAT", "qat-libqatzip", "problem", "libqatzip.so.1 has another")], 11),
    no_libqat: ([("QAT", "qat-libqat", "problem", "libqat.so.4, which QATzip needs")], 11),
    no_manager: (
        [
            ("QAT", "qat-manager", "warning", "qatmgr does not run"),
            ("QAT", "qat-memlock", "warning", "limited to 65536 KiB, and 96 MiB are advised"),
        ],
        0,
    ),
    trailing_comment: ([("QAT", "qat-settings", "warning", "has a comment behind its value")], 0),
    bad_kernel: ([("QAT", "qat-kernel", "warning", "kernels 6.1 to 6.1.148")], 0),
    good_kernel: ([], 0),
    fatal_errors: ([(PF, "qat-errors", "warning", "2 fatal errors")], 0),
    half_sysfs: ([(PF, "qat-driver", "problem", "without a driver")], 11),
}


@pytest.mark.parametrize(("tree", "change", "said", "code"), cases("a", OF_A))
def test_a_variant_says_just_what_differs(
    tree: str, change: Change, said: Said, code: int, tmp_path: Path
) -> None:
    check_variant(tree, change, said, code, tmp_path)


def test_of_two_pfs_the_one_with_dc_is_ready(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    even_and_odd(root)
    report = report_of(root)
    assert report.qatzip.devices == (PF2,)
    given = [f.sentence for f in report.findings if f.check == "qat-settings"]
    assert given == ["POLICY 0: a process is given one VF of every PF"]


def test_a_pair_of_services_halves_the_instances(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    pair(root)
    found = {f.check: f.sentence for f in report_of(root).findings}
    assert "each VF brings 2 compression instances" in found["qat-services"]
