"""The kernel's command line and modules, and a device whose firmware files are missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from diagnosing import report_of
from fakes_sysroot import PF, PF_PATH, TREES, Sysroot
from ramferry.hardware.families import BY_NAME, FAMILIES, QatFamily
from ramferry.hardware.kernel import discover_kernel, paging_of
from ramferry.hardware.root import Root
from ramferry.metrics.host import Finding

WITH_FIRMWARE = [family for family in FAMILIES if family.firmware]
FIRMWARE = "/lib/firmware"
RELEASE = "6.12.48"


@pytest.mark.parametrize(
    ("cmdline", "words", "holds"),
    [
        ("quiet intel_iommu=on", "intel_iommu=on", True),
        ("quiet intel_iommu=on", "intel_iommu=on,sm_on", False),
        ("intel_iommu=on,sm_on", "intel_iommu=on,sm_on", True),
        ("intel_iommu=on intel_iommu=sm_on", "intel_iommu=on,sm_on", True),
        ("intel_iommu=on,sm_on intel_iommu=off", "intel_iommu=on,sm_on", False),
        ("intel_iommu=on,sm_on intel_iommu=sm_off", "intel_iommu=on,sm_on", False),
        ("intel_iommu=off intel_iommu=on", "intel_iommu=on", True),
        ("iommu=on", "intel_iommu=on", False),
        ("no5lvl", "no5lvl", True),
        ("no5lvl intel_iommu=on", "intel_iommu=on no5lvl", True),
        ("", "no5lvl", False),
    ],
)
def test_words_hold_where_none_behind_them_takes_them_back(
    cmdline: str, words: str, holds: bool, tmp_path: Path
) -> None:
    Sysroot(tmp_path).file("/proc/cmdline", f"{cmdline}\n")
    assert discover_kernel(Root(str(tmp_path))).booted_with(words) is holds


def test_modules_are_found_in_either_place_and_built_in_drivers_as_well(tmp_path: Path) -> None:
    root = Sysroot(tmp_path)
    root.file(
        "/proc/modules", "qat_4xxx 45056 0 - Live 0x0\nintel_qat 401408 1 qat_4xxx, Live 0x0\n"
    )
    root.module("vfio_pci")
    root.folder("/sys/bus/pci/drivers/idxd")
    kernel = discover_kernel(Root(str(tmp_path)))
    assert all(map(kernel.loaded, ("qat_4xxx", "intel_qat", "vfio-pci", "idxd")))
    assert not kernel.loaded("qat_420xx")


@pytest.mark.parametrize(
    ("cpuinfo", "said"),
    [("flags\t\t: fpu la57 sme\n", "la57"), ("flags\t\t: fpu sme\n", "no la57"), ("", None)],
)
def test_the_depth_of_paging_is_in_the_cpus_flags(
    cpuinfo: str, said: str | None, tmp_path: Path
) -> None:
    Sysroot(tmp_path).file("/proc/cpuinfo", f"processor\t: 0\n{cpuinfo}")
    assert paging_of(Root(str(tmp_path))).content == said


def without_driver(path: Path, family: QatFamily) -> Sysroot:
    """A host with a PF of that family whose module is loaded, without its firmware."""
    root = Sysroot(path)
    root.pci(PF, family.pf, None)
    root.folder(FIRMWARE)
    root.module(family.module)
    return root


def of_driver(root: Sysroot) -> Finding:
    return next(found for found in report_of(root).findings if found.check == "qat-driver")


@pytest.mark.parametrize("family", WITH_FIRMWARE, ids=lambda family: family.name)
def test_a_loaded_module_without_its_firmware_is_told_by_the_names_of_the_files(
    family: QatFamily, tmp_path: Path
) -> None:
    found = of_driver(without_driver(tmp_path, family))
    assert f"the module {family.module} is loaded, but its firmware is missing" in found.sentence
    assert f"{family.firmware}.bin, {family.firmware}_mmp.bin" in found.sentence
    assert f"sudo modprobe -r {family.module}" in found.commands
    shown = {evidence.path for evidence in found.evidence if evidence.content is None}
    assert {f"{FIRMWARE}/{name}" for name in family.firmware_files} <= shown


@pytest.mark.parametrize("end", ["", ".xz", ".zst"])
@pytest.mark.parametrize("folder", ["", "/updates", f"/{RELEASE}", f"/updates/{RELEASE}"])
def test_firmware_is_found_wherever_the_kernel_looks(end: str, folder: str, tmp_path: Path) -> None:
    root = without_driver(tmp_path, BY_NAME["402xx"])
    root.firmware("qat_402xx", FIRMWARE + folder, end)
    found = of_driver(root)
    assert "firmware" not in found.sentence
    assert "qat_4xxx is loaded and refused it" in found.sentence
    assert found.commands == ("sudo dmesg | grep -i qat",)


def test_a_folder_that_the_kernel_was_told_of_counts(tmp_path: Path) -> None:
    root = without_driver(tmp_path, BY_NAME["6xxx"])
    root.firmware("qat_6xxx", "/opt/firmware")
    root.file("/sys/module/firmware_class/parameters/path", "/opt/firmware\n")
    assert "firmware" not in of_driver(root).sentence


def test_only_the_missing_one_of_two_is_named_and_a_dangling_link_is_missing(
    tmp_path: Path,
) -> None:
    root = TREES["a"](tmp_path)
    root.remove(f"{PF_PATH}/driver")
    root.remove(f"{FIRMWARE}/qat_4xxx.bin")
    root.link(f"{FIRMWARE}/qat_4xxx.bin", "intel/qat/qat_4xxx.bin")
    assert of_driver(root).sentence.partition("missing: ")[2].startswith("qat_4xxx.bin")
    assert "mmp" not in of_driver(root).sentence
    root.file(f"{FIRMWARE}/intel/qat/qat_4xxx.bin")
    assert "missing" not in of_driver(root).sentence


def test_a_module_that_is_not_loaded_lacks_its_firmware_as_well(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    for gone in (f"{PF_PATH}/driver", "/sys/module/qat_4xxx", FIRMWARE):
        root.remove(gone)
    found = of_driver(root)
    assert "the module qat_4xxx is not loaded, and its firmware is missing" in found.sentence
    assert found.commands[-2:] == ("sudo modprobe qat_4xxx", "sudo dmesg | grep -i qat")


def test_firmware_of_intels_own_driver_comes_with_its_package(tmp_path: Path) -> None:
    root = TREES["d"](tmp_path)
    root.remove("/sys/bus/pci/devices/0000:3d:00.0/driver")
    root.module("qat_c62x")
    found = of_driver(root)
    assert found.sentence.endswith("Intel's own package brings them")
    assert not [line for line in found.commands if "install" in line]


def system(identity: str, version: str = "", like: str = "") -> Callable[[Sysroot], None]:
    text = f'ID={identity}\nVERSION_ID="{version}"\nID_LIKE="{like}"\nPRETTY_NAME="Test"\n'
    return lambda root: root.file("/etc/os-release", text)


MISC = "firmware-intel-misc"
NONE = "no package of Test is known to have them"
INTELS = "Intel's own package brings them"


@pytest.mark.parametrize(
    ("host", "family", "package"),
    [
        (system("debian", "12"), "C62x", "apt install firmware-misc-nonfree "),
        (system("debian", "12"), "402xx", f"apt install -t bookworm-backports {MISC} "),
        (system("debian", "12"), "4xxx", NONE),
        (system("debian", "13"), "C62x", f"apt install {MISC} "),
        (system("debian", "13"), "420xx", f"apt install {MISC} "),
        (system("debian", "13"), "4xxx", f"apt install -t trixie-backports {MISC} "),
        (system("debian", "13"), "401xx", f"apt install -t trixie-backports {MISC} "),
        (system("debian"), "4xxx", f"apt install {MISC} "),
        (system("debian", "14"), "4xxx", f"apt install {MISC} "),
        (system("ubuntu", "24.04", "debian"), "4xxx", "apt install linux-firmware"),
        (system("linuxmint", "22", "ubuntu debian"), "4xxx", "apt install linux-firmware"),
        (system("fedora", "43"), "4xxx", "dnf install linux-firmware"),
        (system("rocky", "9.6", "rhel centos fedora"), "DH895xCC", "dnf install linux-firmware"),
        (system("opensuse-tumbleweed"), "4xxx", "zypper install kernel-firmware-intel"),
        (system("sles", "15.6", "suse"), "C3xxx", "zypper install kernel-firmware-intel"),
        (system("fedora", "43"), "6xxx", NONE),
        (system("debian", "13"), "D15xx", INTELS),
        (system("alpine", "3.22"), "4xxx", NONE),
    ],
)
def test_the_package_is_the_distributions_and_a_system_without_one_is_told_so(
    host: Callable[[Sysroot], None], family: str, package: str, tmp_path: Path
) -> None:
    root = without_driver(tmp_path, BY_NAME[family])
    host(root)
    found = of_driver(root)
    installs = [line for line in found.commands if "install" in line]
    if package in (NONE, INTELS):
        assert installs == []
        assert package in found.sentence
    else:
        assert [f"{line} ".startswith(f"sudo {package}") for line in installs] == [True]
