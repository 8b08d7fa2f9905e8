"""The distribution, and the command lines that differ between distributions.

Packages as read off each distribution's package pages; os-release as ``man 5 os-release`` has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.metrics.host import Evidence

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
"""Words of ID and ID_LIKE → whose commands apply."""

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
_GRUB: Final = {DEBIAN: "sudo update-grub", SUSE: "sudo grub2-mkconfig -o /boot/grub2/grub.cfg"}


@dataclass(frozen=True, slots=True)
class Distribution:
    """What os-release says."""

    evidence: Evidence
    identity: str
    """ID: "debian"."""
    version: str
    """VERSION_ID: "12"; empty where it has none, as for a rolling release."""
    name: str
    """PRETTY_NAME."""
    family: str
    """Whose commands apply: "debian", "fedora", "suse", or "" for others."""

    @property
    def has_qatzip(self) -> bool:
        """Whether its repositories are known to have QATzip."""
        first = _FIRST_WITH_QATZIP.get(self.identity, 0.0)
        try:
            return bool(self.family) and (not self.version or float(self.version) >= first)
        except ValueError:
            return bool(self.family)

    def install_qatzip(self) -> tuple[str, ...]:
        """Lines that install QATzip with qatlib and its service; none where there is no package."""
        return (_QATZIP[self.family],) if self.has_qatzip else ()

    def install_accel_config(self) -> tuple[str, ...]:
        """Lines that install the tool that sets up IAA."""
        return (_ACCEL_CONFIG[self.family],) if self.family else ()

    def boot_with(self, words: str) -> tuple[str, ...]:
        """Lines that add words to the kernel's command line and restart."""
        if self.family == FEDORA:
            return (f'sudo grubby --update-kernel=ALL --args="{words}"', "sudo reboot")
        edit = f"sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{words} /' /etc/default/grub"
        return (edit, _GRUB[self.family], "sudo reboot") if self.family else ()


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
    )
