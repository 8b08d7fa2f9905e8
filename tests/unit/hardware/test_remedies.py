"""Nothing is advised that is so already: what was done once is not asked for again."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from diagnosing import report_of
from fakes_sysroot import HUGE, IAX, LIBRARIES, LIMITS, PCI, PF, PF_PATH, TREES, VFS, Sysroot
from ramferry.hardware.identity import Identity, current, named
from ramferry.hardware.root import ACL, Root

Change = Callable[[Sysroot], None]
SM_ON = "intel_iommu=on,sm_on"


class Case(NamedTuple):
    """A host that lacks something, the line that is advised, how the host is when that was done
    and has not helped, and the words that are said then."""

    tree: str
    lacks: Change
    line: str
    done: Change
    then: str


def cmdline(words: str) -> Change:
    return lambda root: root.file("/proc/cmdline", f"BOOT_IMAGE=/vmlinuz {words}\n")


def module(name: str) -> Change:
    return lambda root: root.module(name)


def no_driver(root: Sysroot) -> None:
    root.remove(f"{PF_PATH}/driver")
    root.remove("/sys/module/qat_4xxx")


def pf_lent(root: Sysroot) -> None:
    root.link(f"{PF_PATH}/driver", "../../drivers/vfio-pci")
    root.remove("/sys/module/qat_4xxx")


def iaa_unbound(root: Sysroot) -> None:
    root.remove(f"{PCI}/0000:6a:02.0/driver")
    root.remove(IAX)


def vf_elsewhere(root: Sysroot) -> None:
    root.link(f"{PCI}/0000:6b:00.1/driver", "../../drivers/4xxxvf")


def guest_vf_elsewhere(root: Sysroot) -> None:
    root.link(f"{PCI}/0000:07:00.0/driver", "../../drivers/4xxxvf")


def no_groups(root: Sysroot) -> None:
    cmdline("quiet")(root)
    for index in range(VFS):
        vf = root.at(f"{PF_PATH}/virtfn{index}").readlink().name
        root.remove(f"{PCI}/{vf}/iommu_group")
    root.remove("/sys/kernel/iommu_groups")


def iommu_under_intels_driver(root: Sysroot) -> None:
    root.group("0000:3d:00.0", "7")


def unable(root: Sysroot) -> None:
    """IAA of a host whose IOMMU knows no PASID, as a report from the field has it."""
    root.file(f"{IAX}/pasid_enabled", "0\n")
    root.file(f"{IAX}/state", "disabled\n")
    root.file(f"{IAX}/cmd_status", "0x800c0000\n")
    root.queue("wq1.0", state="disabled")
    root.file("/sys/class/iommu/dmar0/intel-iommu/ecap", "80020000000\n")
    root.file("/sys/class/iommu/dmar0/intel-iommu/cap", "0\n")
    root.file("/proc/cpuinfo", "flags\t\t: fpu la57\n")


def no_scalable_mode(root: Sysroot) -> None:
    unable(root)
    cmdline("intel_iommu=on")(root)


def no_manager(root: Sysroot) -> None:
    root.file("/usr/lib/systemd/system/qat.service")
    root.remove("/run/qat/qatmgr.sock")


def no_unit(root: Sysroot) -> None:
    root.remove("/run/qat/qatmgr.sock")


def unit(root: Sysroot) -> None:
    root.file("/usr/lib/systemd/system/qat.service")


def enabled(root: Sysroot) -> None:
    wants = "/etc/systemd/system/multi-user.target.wants/qat.service"
    root.link(wants, "/usr/lib/systemd/system/qat.service")


def memlock_small(root: Sysroot) -> None:
    root.file("/proc/self/limits", LIMITS.format(8 << 20))


def memlock_granted(root: Sysroot) -> None:
    root.file("/etc/security/limits.d/60-qat.conf", "# QAT\n@qat - memlock 65536\n")


def without_libqat(root: Sysroot) -> None:
    root.remove(f"{LIBRARIES}/libqat.so.4")
    root.remove(f"{LIBRARIES}/libqatzip.so.3")


def with_libqatzip(root: Sysroot) -> None:
    root.link(f"{LIBRARIES}/libqatzip.so.3", "libqatzip.so.3.2.0")


def iaa_unconfigured(root: Sysroot) -> None:
    root.queue("wq1.0", state="disabled")


def accel_config(root: Sysroot) -> None:
    root.file("/usr/bin/accel-config", mode=0o755)


def iaa_node_closed(root: Sysroot) -> None:
    root.at("/dev/iax/wq1.0").chmod(0o600)


def crypto_by_the_service(root: Sysroot) -> None:
    root.file(f"{PF_PATH}/qat/cfg_services", "sym;asym\n")
    root.file("/etc/sysconfig/qat", "POLICY=1\n")


def huge_pages_short(root: Sysroot) -> None:
    root.file(f"{HUGE}/nr_hugepages", "16\n")
    root.file(f"{HUGE}/free_hugepages", "4\n")


def huge_pages(root: Sysroot) -> None:
    root.file(f"{HUGE}/nr_hugepages", "31\n")
    root.file(f"{HUGE}/free_hugepages", "19\n")


CASES = {
    "module": Case(
        "a", no_driver, "sudo modprobe qat_4xxx", module("qat_4xxx"), "is loaded and refused it"
    ),
    "module in /proc": Case(
        "a",
        no_driver,
        "sudo modprobe qat_4xxx",
        lambda root: root.file("/proc/modules", "qat_4xxx 45056 0 - Live 0x0\n"),
        "is loaded and refused it",
    ),
    "module of a lent PF": Case(
        "a", pf_lent, "sudo modprobe qat_4xxx", module("qat_4xxx"), "lent to a guest"
    ),
    "idxd": Case("e", iaa_unbound, "sudo modprobe idxd", module("idxd"), "idxd is loaded and"),
    "vfio-pci": Case(
        "a", vf_elsewhere, "sudo modprobe vfio-pci", module("vfio_pci"), "instead of vfio-pci"
    ),
    "vfio-pci built in": Case(
        "c",
        guest_vf_elsewhere,
        "sudo modprobe vfio-pci",
        lambda root: root.folder("/sys/bus/pci/drivers/vfio-pci"),
        "instead of vfio-pci",
    ),
    "IOMMU on": Case(
        "a", no_groups, "intel_iommu=on", cmdline("intel_iommu=on"), "started with intel_iommu=on"
    ),
    "IOMMU off": Case(
        "d",
        iommu_under_intels_driver,
        "intel_iommu=off",
        cmdline("intel_iommu=off"),
        "switch VT-d off in the firmware's set-up",
    ),
    "scalable mode": Case(
        "e", no_scalable_mode, SM_ON, cmdline(SM_ON), "VT-d and PASID in the firmware's set-up"
    ),
    "5-level paging": Case(
        "e", unable, "no5lvl", cmdline(f"{SM_ON} no5lvl"), "the IOMMU shows no PASID"
    ),
    "QATzip's package": Case(
        "a", without_libqat, "qatzip qatlib", with_libqatzip, "libqat.so.4, which QATzip needs"
    ),
    "package of the service": Case(
        "a", no_unit, "sudo apt install qatlib-service", unit, "qatmgr does not run"
    ),
    "service": Case("a", no_manager, "enable --now qat", enabled, "qat.service is enabled"),
    "locked memory": Case(
        "a", memlock_small, "60-qat.conf", memlock_granted, "from the next login on"
    ),
    "accel-config": Case(
        "e", iaa_unconfigured, "install accel-config", accel_config, "no work queue is enabled"
    ),
    "huge pages": Case(
        "a", huge_pages_short, "vm.nr_hugepages=31", huge_pages, "19 huge pages of 2 MiB are free"
    ),
    "services that the service sets back": Case(
        "a",
        crypto_by_the_service,
        "echo dc | sudo tee",
        lambda root: root.file("/etc/sysconfig/qat", "ServicesEnabled=sym;asym\n"),
        "/etc/sysconfig/qat sets them so whenever qat.service starts",
    ),
}


def said(root: Sysroot, identity: Identity | None = None) -> tuple[str, str]:
    """All lines that are advised, and all sentences."""
    findings = report_of(root, identity).findings
    lines = "\n".join(line for finding in findings for line in finding.commands)
    return lines, "\n".join(finding.sentence for finding in findings)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_was_done_is_not_advised_again(case: Case, tmp_path: Path) -> None:
    root = TREES[case.tree](tmp_path)
    case.lacks(root)
    assert case.line in said(root)[0]
    case.done(root)
    lines, sentences = said(root)
    assert case.line not in lines
    assert case.then in sentences


def test_whoever_is_in_the_group_already_is_told_to_log_in_again(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    session = Identity("alice", 4321, frozenset({4321}), True)
    assert "usermod -aG qat alice" in said(root, session)[0]
    enrolled = Identity("alice", 4321, frozenset({4321}), True, frozenset({"qat"}))
    lines, sentences = said(root, enrolled)
    assert "usermod" not in lines
    assert "may not open 16 of 16 VFs: they count as busy; alice is in group qat" in sentences


def test_whoever_runs_this_has_the_groups_of_its_next_login(tmp_path: Path) -> None:

    root = TREES["a"](tmp_path)
    root.file("/etc/group", f"qat:x:{os.getgid()}:alice,root\nsecond:x:77:root\n")
    found = Root(str(tmp_path))
    assert named(found, "alice").enrolled == {"qat"}
    assert current(found).enrolled == {"qat", "second"}


@pytest.mark.parametrize(
    ("entries", "opens"),
    [
        ([(0x02, 6, 4321), (0x10, 6, 0)], True),
        ([(0x02, 4, 4321), (0x10, 6, 0)], False),
        ([(0x02, 6, 4321), (0x10, 4, 0)], False),
        ([(0x02, 6, 4322), (0x10, 6, 0)], False),
        ([(0x08, 6, 4321), (0x10, 6, 0)], True),
        ([(0x02, 0, 4321), (0x08, 6, 4321), (0x10, 6, 0)], False),
    ],
)
def test_a_node_that_setfacl_opened_is_open(
    entries: list[tuple[int, int, int]],
    opens: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a user, by entries of a list: user, group and mask; 4321 is alice."""
    root = TREES["e"](tmp_path)
    iaa_node_closed(root)
    assert "setfacl -m u:alice:rw /dev/iax/wq1.0" in said(root)[0]
    none = 0xFFFFFFFF
    named = [(tag, bits, none if tag == 0x10 else name) for tag, bits, name in entries]
    listed = sorted([(0x01, 6, none), (0x04, 0, none), *named, (0x20, 0, none)])
    raw = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in listed)
    listed_node = str(root.at("/dev/iax/wq1.0"))
    real = os.getxattr

    def listing(path: str, name: str) -> bytes:
        """As a file system with access control lists answers; that of the tests may have none."""
        return raw if (path, name) == (listed_node, ACL) else real(path, name)

    monkeypatch.setattr(os, "getxattr", listing)
    lines, sentences = said(root)
    assert ("setfacl" not in lines) is opens
    assert ("alice may open /dev/iax/wq1.0" in sentences) is opens


def test_words_that_contradict_are_taken_out_not_added_to(tmp_path: Path) -> None:
    root = TREES["d"](tmp_path)
    iommu_under_intels_driver(root)
    cmdline("intel_iommu=on")(root)
    lines, _ = said(root)
    grub = tmp_path / "grub"
    grub.write_text('GRUB_CMDLINE_LINUX_DEFAULT="quiet intel_iommu=on"\nGRUB_CMDLINE_LINUX="a=b"\n')
    edit = next(line for line in lines.splitlines() if line.startswith("sudo sed"))
    os.system(edit.removeprefix("sudo ").replace("/etc/default/grub", str(grub)))
    assert grub.read_text() == (
        'GRUB_CMDLINE_LINUX_DEFAULT="quiet "\nGRUB_CMDLINE_LINUX="intel_iommu=off a=b"\n'
    )


def test_a_lent_pf_is_taken_back_by_its_driver(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    root.link(f"{PF_PATH}/driver", "../../drivers/vfio-pci")
    lines, _ = said(root)
    assert f"echo {PF} | sudo tee /sys/bus/pci/drivers/vfio-pci/unbind" in lines
    assert f"echo {PF} | sudo tee /sys/bus/pci/drivers/4xxx/bind" in lines


def test_a_lent_iaa_device_is_taken_back_by_idxd(tmp_path: Path) -> None:
    root = TREES["e"](tmp_path)
    iaa_unbound(root)
    root.link(f"{PCI}/0000:6a:02.0/driver", "../../drivers/vfio-pci")
    root.module("idxd")
    lines, _ = said(root)
    assert "modprobe" not in lines
    assert "echo 0000:6a:02.0 | sudo tee /sys/bus/pci/drivers/idxd/bind" in lines


def test_the_pasid_that_is_missing_and_the_kernels_sentences_are_named(tmp_path: Path) -> None:
    root = TREES["e"](tmp_path)
    unable(root)
    lines, sentences = said(root)
    assert "the driver refused a queue for want of it" in sentences
    assert f"although the kernel was started with {SM_ON}" in sentences
    assert "VT-d and PASID in the firmware's set-up (the IOMMU shows no PASID)" in sentences
    assert "the CPUs' 5-level paging (la57), which no5lvl switches off" in sentences
    assert '"SVM disabled, incompatible paging mode"' in sentences
    assert '"Unable to turn on user SVA feature"' in sentences
    assert "iax1: the device is disabled" not in sentences
    assert "no shared queue can be enabled before SVM is on" in sentences
    assert "sudo dmesg | grep -iE 'dmar|idxd'" in lines
    assert "/&no5lvl /" in lines


@pytest.mark.parametrize(
    ("cpuinfo", "cap", "named", "advised"),
    [
        ("la57", "0\n", True, True),
        ("la57", f"{1 << 60:x}\n", False, False),
        ("", "0\n", False, False),
        ("la57", None, True, False),
        (None, "0\n", True, False),
        (None, None, True, False),
    ],
)
def test_paging_is_named_where_it_may_be_the_cause_and_changed_where_it_is(
    cpuinfo: str | None, cap: str | None, named: bool, advised: bool, tmp_path: Path
) -> None:
    root = TREES["e"](tmp_path)
    unable(root)
    for gone in ("/proc/cpuinfo", "/sys/class/iommu/dmar0/intel-iommu/cap"):
        root.remove(gone)
    if cpuinfo is not None:
        root.file("/proc/cpuinfo", f"flags\t\t: fpu {cpuinfo}\n")
    if cap is not None:
        root.file("/sys/class/iommu/dmar0/intel-iommu/cap", cap)
    lines, sentences = said(root)
    assert ("5-level paging" in sentences) is named
    assert ("no5lvl" in lines) is advised


def test_idxd_without_sva_is_loaded_anew(tmp_path: Path) -> None:
    root = TREES["e"](tmp_path)
    unable(root)
    root.file("/sys/module/idxd/parameters/sva", "N\n")
    lines, sentences = said(root)
    assert "idxd was loaded with sva=N" in sentences
    assert "sudo modprobe -r idxd\nsudo modprobe idxd sva=1" in lines
