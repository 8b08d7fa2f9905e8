"""What the kernel was started with, what it has loaded, and what it would load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.hardware.root import Root, only
from ramferry.metrics.evidence import Evidence

FIRMWARE: Final = "/lib/firmware"
COMPRESSED: Final = ("", ".zst", ".xz")
"""Endings under which the kernel finds a firmware file (``drivers/base/firmware_loader``)."""

_OPPOSITES: Final = {"on": "off", "off": "on", "sm_on": "sm_off", "sm_off": "sm_on"}
"""Options of ``intel_iommu=`` that undo one another; of two the later one holds."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel's command line and modules."""

    cmdline: Evidence
    """Only the words about the IOMMU and paging: a command line may hold secrets."""
    modules: frozenset[str]
    """Names of the modules that are loaded, as /proc/modules spells them, and of those built in."""
    pci_drivers: frozenset[str]
    """Names of the PCI drivers that are there, by a module or built in."""

    def loaded(self, module: str) -> bool:
        """Whether a module is there, so that ``modprobe`` would change nothing."""
        return module.replace("-", "_") in self.modules or module in self.pci_drivers

    def booted_with(self, words: str) -> bool:
        """Whether every one of ``words`` ("intel_iommu=on,sm_on no5lvl") was given and holds."""
        return all(self._holds(word) for word in words.split())

    def gives(self, words: str) -> bool:
        """Whether the command line has one of these keys, whatever its options."""
        given = {word.partition("=")[0] for word in (self.cmdline.content or "").split()}
        return any(word.partition("=")[0] in given for word in words.split())

    def _holds(self, word: str) -> bool:
        key, equals, options = word.partition("=")
        given = (self.cmdline.content or "").split()
        if not equals:
            return key in given
        said = [
            option
            for other in given
            if other.startswith(f"{key}=")
            for option in other.removeprefix(f"{key}=").split(",")
        ]
        return all(_last(said, option) for option in options.split(","))


def _last(said: list[str], option: str) -> bool:
    """Whether ``option`` was given, and not undone by a later one."""
    of_both = [each for each in said if each in (option, _OPPOSITES.get(option))]
    return bool(of_both) and of_both[-1] == option


def discover_kernel(root: Root) -> Kernel:
    """Read /proc/cmdline, and the modules from /sys/module and /proc/modules."""
    table = (root.read("/proc/modules").content or "").splitlines()
    return Kernel(
        cmdline=_words(root.read("/proc/cmdline")),
        modules=frozenset(
            {*root.names("/sys/module"), *(line.partition(" ")[0] for line in table)}
        ),
        pci_drivers=frozenset(root.names("/sys/bus/pci/drivers")),
    )


def _words(cmdline: Evidence) -> Evidence:
    if cmdline.content is None:
        return cmdline
    keys = ((word.partition("=")[0], word) for word in cmdline.content.split())
    words = [word for key, word in keys if "iommu" in key or key == "no5lvl"]
    return Evidence(cmdline.path, " ".join(words) or "no word about the IOMMU")


def discover_firmware(root: Root, names: tuple[str, ...]) -> tuple[Evidence, ...]:
    """Where the kernel finds each of these firmware files; evidence without content if it finds
    none.

    It looks into the folder of its parameter ``path`` and into four below /lib/firmware and takes
    the first that has the file, which may be compressed.
    """
    release = root.read("/proc/sys/kernel/osrelease").content or ""
    own = root.read("/sys/module/firmware_class/parameters/path").content or ""
    updates = f"{FIRMWARE}/updates"
    folders = (own, f"{updates}/{release}", updates, f"{FIRMWARE}/{release}", FIRMWARE)
    return tuple(_find(root, name, [folder for folder in folders if folder]) for name in names)


def _find(root: Root, name: str, folders: list[str]) -> Evidence:
    paths = (f"{folder}/{name}{end}" for folder in folders for end in COMPRESSED)
    found = next((path for path in paths if root.exists(path)), None)
    return Evidence(found, "") if found else Evidence(f"{FIRMWARE}/{name}")


def paging_of(root: Root) -> Evidence:
    """Whether the CPUs use 5-level paging: "la57" or "no la57" of the first one's flags."""
    flags = only(root.read("/proc/cpuinfo"), "flags")
    if flags.content is None or ":" not in flags.content:
        return Evidence("/proc/cpuinfo", trouble=flags.trouble)
    first = flags.content.partition(" | ")[0].split()
    return Evidence("/proc/cpuinfo", "la57" if "la57" in first else "no la57")
