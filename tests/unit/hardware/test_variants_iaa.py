"""Hosts that differ from tree e, with IAA, or g, with nothing, in one thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnosing import Change, Said, Variants, cases, check_variant, report_of
from fakes_sysroot import IAX, PCI, PF, TREES, Sysroot, iaa


def flag_wrongly_zero(root: Sysroot) -> None:
    """Before about kernel 6.5 the flag tells of the kernel's own PASID."""
    root.file("/proc/sys/kernel/osrelease", "6.1.153\n")
    root.file(f"{IAX}/pasid_enabled", "0\n")


def dedicated(root: Sysroot) -> None:
    root.queue("wq1.0", mode="dedicated")


def kernel_queue(root: Sysroot) -> None:
    root.queue("wq1.0", type="kernel")


def iaa_disabled(root: Sysroot) -> None:
    root.file(f"{IAX}/state", "disabled\n")
    root.queue("wq1.0", state="disabled")


def iaa_halted(root: Sysroot) -> None:
    root.file(f"{IAX}/state", "halted\n")


def iaa_unbound(root: Sysroot) -> None:
    root.remove("/sys/bus/pci/devices/0000:6a:02.0/driver")
    root.remove(IAX)


def iaa_not_shown(root: Sysroot) -> None:
    root.remove(IAX)


def iaa_node_closed(root: Sysroot) -> None:
    root.at("/dev/iax/wq1.0").chmod(0o600)


def iaa_node_missing(root: Sysroot) -> None:
    root.remove("/dev/iax/wq1.0")


def iaa_old_kernel(root: Sysroot) -> None:
    root.file("/proc/sys/kernel/osrelease", "5.15.0-100-generic\n")


NEEDS = "no work queue is enabled, shared and for user space"
OF_E: Variants = {
    flag_wrongly_zero: ([], 0),
    dedicated: ([("iax1", "iaa-queue", "problem", "wq1.0 is dedicated")], 11),
    kernel_queue: ([("iax1", "iaa-queue", "problem", NEEDS)], 11),
    iaa_disabled: ([("iax1", "iaa-queue", "problem", "the device is disabled")], 11),
    iaa_halted: ([("iax1", "iaa-state", "problem", "has halted")], 11),
    iaa_unbound: ([("0000:6a:02.0", "iaa-driver", "problem", "on no driver instead of idxd")], 11),
    iaa_not_shown: ([("IAA", "iaa-device", "problem", "idxd shows no device")], 11),
    iaa_node_closed: ([("iax1", "iaa-node", "problem", "alice may not open /dev/iax/wq1.0")], 11),
    iaa_node_missing: ([("iax1", "iaa-node", "problem", "/dev/iax/wq1.0 is not there")], 11),
    iaa_old_kernel: ([("IAA", "iaa-kernel", "warning", "older than 5.18")], 0),
}


def no_bus(root: Sysroot) -> None:
    root.remove("/sys/bus/pci")


def bus_is_a_file(root: Sysroot) -> None:
    root.remove(PCI)
    root.file(PCI, "not a directory\n")


OF_G: Variants = {
    no_bus: ([("host", "host-pci", "warning", "cannot be listed")], 10),
    bus_is_a_file: ([("host", "host-pci", "warning", "cannot be listed")], 10),
}


@pytest.mark.parametrize(("tree", "change", "said", "code"), [*cases("e", OF_E), *cases("g", OF_G)])
def test_a_variant_says_just_what_differs(
    tree: str, change: Change, said: Said, code: int, tmp_path: Path
) -> None:
    check_variant(tree, change, said, code, tmp_path)


def test_qat_and_iaa_side_by_side_are_both_ready(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    iaa(root)
    report = report_of(root)
    assert (report.qatzip.devices, report.qpl.devices) == ((PF,), ("iax1",))


def test_broken_qat_is_broken_also_beside_a_ready_iaa(tmp_path: Path) -> None:
    root = TREES["b"](tmp_path)
    iaa(root)
    assert report_of(root).exit_code == 11


def test_ready_qat_is_ready_also_beside_a_broken_iaa(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    iaa(root)
    dedicated(root)
    report = report_of(root)
    assert (str(report.qpl.standing), report.exit_code) == ("broken", 0)
