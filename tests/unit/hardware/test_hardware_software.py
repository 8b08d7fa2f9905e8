"""Distributions and libraries: what is there, and the line that brings what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes_sysroot import Sysroot
from ramferry.hardware.distribution import Distribution, distribution
from ramferry.hardware.families import FAMILIES, instances
from ramferry.hardware.libraries import discover_libraries
from ramferry.hardware.root import Root
from ramferry.metrics.host import Evidence


def of(identity: str, version: str = "", like: str = "") -> Distribution:
    text = f'ID={identity}\nVERSION_ID="{version}"\nID_LIKE="{like}"\nNAME={identity}\n'
    return distribution(Evidence("/etc/os-release", text))


APT = ("sudo apt install qatzip qatlib-service",)
DNF = ("sudo dnf install qatzip qatzip-libs qatlib-service",)
ZYPPER = ("sudo zypper install qatzip qatlib",)


@pytest.mark.parametrize(
    ("identity", "version", "like", "lines"),
    [
        ("debian", "12", "", ()),
        ("debian", "13", "", APT),
        ("debian", "", "", APT),
        ("ubuntu", "22.04", "debian", ()),
        ("ubuntu", "24.04", "debian", APT),
        ("fedora", "42", "", DNF),
        ("rhel", "9.0", "fedora", ()),
        ("rhel", "9.1", "fedora", DNF),
        ("rocky", "9.4", "rhel centos fedora", DNF),
        ("sles", "15.4", "suse", ()),
        ("sles", "15.6", "suse", ZYPPER),
        ("opensuse-tumbleweed", "20260101", "opensuse suse", ZYPPER),
        ("alpine", "3.20", "", ()),
        ("", "", "", ()),
    ],
)
def test_install_lines(identity: str, version: str, like: str, lines: tuple[str, ...]) -> None:
    assert of(identity, version, like).install_qatzip() == lines


@pytest.mark.parametrize(
    ("identity", "last_but_one"),
    [
        ("debian", "sudo update-grub"),
        ("fedora", 'sudo grubby --update-kernel=ALL --args="intel_iommu=on"'),
        ("sles", "sudo grub2-mkconfig -o /boot/grub2/grub.cfg"),
    ],
)
def test_lines_for_the_kernels_command_line(identity: str, last_but_one: str) -> None:
    lines = of(identity).boot_with("intel_iommu=on")
    assert lines[-2:] == (last_but_one, "sudo reboot")
    assert any("intel_iommu=on" in line for line in lines)


def test_a_distribution_without_a_name_is_unknown() -> None:
    unknown = distribution(Evidence("/etc/os-release"))
    assert (unknown.name, unknown.family) == ("unknown distribution", "")
    assert unknown.boot_with("x") == unknown.install_accel_config() == ()


@pytest.mark.parametrize(
    ("file", "version"),
    [
        ("libqatzip.so.3.0.2", "1.0.9 to 1.1.2"),
        ("libqatzip.so.3.0.3", "1.2.0"),
        ("libqatzip.so.3.2.0", "1.3.0 or 1.3.1"),
        ("libqatzip.so.3.3.0", "2.0.0"),
        ("libqatzip.so.3.9.9", ""),
    ],
)
def test_qatzips_version_by_file_name(tmp_path: Path, file: str, version: str) -> None:
    root = Sysroot(tmp_path)
    root.file(f"/usr/lib64/{file}")
    root.link("/usr/lib64/libqatzip.so.3", file)
    assert discover_libraries(Root(str(tmp_path))).qatzip_version == version


def test_directories_that_the_linker_is_told_of_are_searched(tmp_path: Path) -> None:
    root = Sysroot(tmp_path)
    root.file("/etc/ld.so.conf.d/qat.conf", "# Intel's package\n/opt/qat/lib/\n")
    root.file("/opt/qat/lib/libqat_s.so")
    root.file("/elsewhere/libqat.so.4")
    libraries = discover_libraries(Root(str(tmp_path)))
    assert [found.path for found in libraries.out_of_tree] == ["/opt/qat/lib/libqat_s.so"]
    assert libraries.qat == ()


@pytest.mark.parametrize(
    ("services", "count"),
    [
        ("dc", 4),
        ("dcc", 4),
        ("sym;dc", 2),
        ("dc;asym", 2),
        ("sym;asym", 0),
        ("decomp", 0),
        ("", 0),
        ("sym;asym;dc", None),
        ("dc;novel", None),
    ],
)
def test_instances_of_a_vf_by_services(services: str, count: int | None) -> None:
    assert instances(services) == count


def test_the_table_of_devices_names_each_id_once() -> None:
    ids = [identity for family in FAMILIES for identity in (family.pf, family.vf)]
    assert len(set(ids)) == len(ids) == 22
    assert [family.name for family in FAMILIES if family.in_tree] == [
        "4xxx",
        "401xx",
        "402xx",
        "420xx",
        "6xxx",
    ]
