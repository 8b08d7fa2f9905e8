"""The distribution, and the command lines that differ between distributions.

Packages as read off each distribution's package pages; os-release as ``man 5 os-release`` has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.metrics.evidence import Evidence

DEBIAN: Final = "debian"
FEDORA: Final = "fedora"
SUSE: Final = "suse"

_FAMILIES: Final = {
    "debian": DEBIAN,
    "ubuntu": DEBIAN,
    "fedora": FEDORA,
    "rhel": FEDORA,
    "centos": FEDORA,
    "suse": SUSE,
    "opensuse": SUSE,
    "sles": SUSE,
}
"""Word of ID or ID_LIKE → the distribution whose commands apply."""

_FIRST_WITH_QATZIP: Final = {
    "debian": 13.0,
    "ubuntu": 24.04,
    "fedora": 37.0,
    "rhel": 9.1,
    "sles": 15.6,
    "opensuse-leap": 15.6,
}
"""ID → the first VERSION_ID whose repositories have QATzip 1.0.9 or later; of others it is not
known that they lack it."""

_QATZIP: Final = {
    DEBIAN: "sudo apt install qatzip qatlib-service",
    FEDORA: "sudo dnf install qatzip qatzip-libs qatlib-service",
    SUSE: "sudo zypper install qatzip qatlib",
}
_ACCEL_CONFIG: Final = {
    DEBIAN: "sudo apt install accel-config",
    FEDORA: "sudo dnf install accel-config",
    SUSE: "sudo zypper install accel-config",
}
_QATLIB: Final = {
    DEBIAN: "sudo apt install libqat4",
    FEDORA: "sudo dnf install qatlib",
    SUSE: "sudo zypper install qatlib",
}
_SERVICE: Final = {
    DEBIAN: "sudo apt install qatlib-service",
    FEDORA: "sudo dnf install qatlib-service",
    SUSE: "sudo zypper install qatlib",
}
_FIRMWARE: Final = {
    FEDORA: "sudo dnf install linux-firmware",
    SUSE: "sudo zypper install kernel-firmware-intel",
}
_UBUNTU_FIRMWARE: Final = "linux-firmware"
"""From 26.04 on it pulls in the parts that it was split into."""

_OLD: Final = ("qat_895xcc", "qat_c3xxx", "qat_c62x")
_NEWER: Final = ("qat_402xx", "qat_420xx")
_MISC: Final = "firmware-intel-misc"
_DEBIAN_FIRMWARE: Final = {
    "12": {
        **dict.fromkeys(_OLD, "firmware-misc-nonfree"),
        **dict.fromkeys(_NEWER, f"-t bookworm-backports {_MISC}"),
    },
    "13": {
        **dict.fromkeys((*_OLD, *_NEWER), _MISC),
        "qat_4xxx": f"-t trixie-backports {_MISC}",
    },
}
"""Debian's VERSION_ID → what a file's name begins with → its package, in non-free-firmware. Read
off the packages' lists of files: Debian 13's 20250410-2 has no qat_4xxx, 20260916-1 of its
backports has all; later versions of Debian are taken to be like that one."""

_GRUB: Final = {DEBIAN: "sudo update-grub", SUSE: "sudo grub2-mkconfig -o /boot/grub2/grub.cfg"}


@dataclass(frozen=True, slots=True)
class Distribution:
    """What os-release says."""

    evidence: Evidence
    identity: str
    """ID: "debian"."""
    version: str
    """VERSION_ID: "12"; empty if it has none, as for a rolling release."""
    name: str
    """PRETTY_NAME."""
    family: str
    """Whose commands apply: "debian", "fedora", "suse", or "" for others."""
    kin: tuple[str, ...]
    """ID, and what it is like (ID_LIKE)."""

    @property
    def has_qatzip(self) -> bool:
        """Whether its repositories are known to have QATzip."""
        first = _FIRST_WITH_QATZIP.get(self.identity, 0.0)
        try:
            return bool(self.family) and (not self.version or float(self.version) >= first)
        except ValueError:
            return bool(self.family)

    def install_qatzip(self) -> tuple[str, ...]:
        """Lines that install QATzip with qatlib and its service; none if there is no package."""
        return (_QATZIP[self.family],) if self.has_qatzip else ()

    def install_qatlib(self) -> tuple[str, ...]:
        """Lines that install qatlib beside a QATzip that is there."""
        return (_QATLIB[self.family],) if self.has_qatzip else ()

    def install_service(self) -> tuple[str, ...]:
        """Lines that install qat.service."""
        return (_SERVICE[self.family],) if self.has_qatzip else ()

    def install_firmware(self, stem: str) -> tuple[str, ...]:
        """Lines that install the firmware files whose names begin so; none where no package is
        known to have them.

        qat_6xxx is in no package's list of files that was seen.
        """
        if stem not in (*_OLD, *_NEWER, "qat_4xxx"):
            return ()
        if self.family != DEBIAN:
            return (_FIRMWARE[self.family],) if self.family else ()
        if "ubuntu" in self.kin:
            return (f"sudo apt install {_UBUNTU_FIRMWARE}",)
        table = _DEBIAN_FIRMWARE.get(self.version if self.identity == "debian" else "")
        package = table.get(stem) if table else _MISC
        return (f"sudo apt install {package}   # in non-free-firmware",) if package else ()

    def install_accel_config(self) -> tuple[str, ...]:
        """Lines that install the tool that sets up IAA."""
        return (_ACCEL_CONFIG[self.family],) if self.family else ()

    def boot_with(self, words: str, *, instead: bool = False) -> tuple[str, ...]:
        """Lines that add words to the kernel's command line and restart.

        :param instead: it has words with the same keys, which are taken out: of two that
            contradict each other the later one would hold. grubby does that by itself.
        """
        if self.family == FEDORA:
            return (f'sudo grubby --update-kernel=ALL --args="{words}"', "sudo reboot")
        if not self.family:
            return ()
        keys = {word.partition("=")[0] for word in words.split()} if instead else ()
        old = "".join(f"-e '/^GRUB_CMDLINE_LINUX/s/\\b{key}=[^ \"]* *//g' " for key in keys)
        new = f"{'-e ' if old else ''}'s/^GRUB_CMDLINE_LINUX=\"/&{words} /'"
        return (f"sudo sed -i {old}{new} /etc/default/grub", _GRUB[self.family], "sudo reboot")


def distribution(evidence: Evidence) -> Distribution:
    """Read os-release; unknown fields stay empty."""
    fields = {}
    for line in (evidence.content or "").splitlines():
        key, _, value = line.partition("=")
        fields[key.strip()] = value.strip().strip("\"'")
    words = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
    families = (_FAMILIES.get(word.partition("-")[0]) for word in words)
    return Distribution(
        evidence=evidence,
        identity=fields.get("ID", ""),
        version=fields.get("VERSION_ID", ""),
        name=fields.get("PRETTY_NAME") or fields.get("NAME") or "unknown distribution",
        family=next((family for family in families if family), ""),
        kin=tuple(words),
    )
