"""The demonstration: one guest, one link, each method once; without a QEMU, the built-in guest.

It uses the rig of ``ramferry bench`` and the orchestrator of ``ramferry migrate``, with a relay
pair for every method, so that all methods get the same link.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from ramferry.bench.builtin import BuiltInRig
from ramferry.bench.machine import host_facts
from ramferry.bench.qemu import QemuBinary, accelerator
from ramferry.bench.rig import Rig
from ramferry.bench.scenario import LEAST_MEMORY, SPARE
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.route import RelayMode, Wish
from ramferry.errors import Cancelled, HostError
from ramferry.metrics import MigrationResult
from ramferry.units import memory

DEFAULT_MEMORY: Final = {"kvm": 1 << 30, "tcg": 512 << 20}
"""Guest RAM by QEMU's accelerator. It is allocated twice, at the source and the destination."""

PACKAGES: Final = {
    "apt-get": "apt-get install qemu-system-x86",
    "dnf": "dnf install qemu-system-x86",
    "zypper": "zypper install qemu-x86",
    "pacman": "pacman -S qemu-system-x86",
}
"""By package manager, the command that installs QEMU."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What is demonstrated."""

    binary: QemuBinary | None
    """None to use the built-in guest."""
    memory: int
    """Guest RAM in bytes."""
    methods: tuple[str, ...]
    channels: int
    max_bandwidth: int
    """Wire bytes a second; 0 is unlimited."""
    files: tuple[Path, ...] = ()
    """What fills the RAM; if there are none, generated data."""


def run(demo: Demo, hooks_of: Callable[[str], Hooks]) -> list[MigrationResult]:
    """Migrate the guest once by each method.

    :param hooks_of: makes the hooks of a method's migration, right before it.
    :raise HostError: this machine has too little memory left.
    :raise Cancelled: ``stop`` of the hooks was set; nothing is left behind.
    """
    check_memory(demo.memory, psutil.virtual_memory().available)
    results = []
    with _rig(demo) as rig:
        for method in demo.methods:
            hooks = hooks_of(method)
            if hooks.stop.is_set():
                raise Cancelled("interrupted between two migrations")
            wish = Wish(
                method=method,
                channels=demo.channels,
                max_bandwidth=demo.max_bandwidth,
                relay=RelayMode.BOTH,
            )
            results.append(rig.carry(wish, hooks))
    return results


def _rig(demo: Demo) -> Rig | BuiltInRig:
    if demo.binary is None:
        return BuiltInRig(demo.memory, demo.files)
    return Rig(demo.binary, demo.binary, demo.memory, demo.files)


def check_memory(wanted: int, available: int) -> None:
    """Refuse a guest that is too large.

    :raise HostError: two guests of ``wanted`` bytes do not fit into ``available`` ones.
    """
    if 2 * wanted + SPARE > available:
        room = max(LEAST_MEMORY, ((available - SPARE) // 2) >> 26 << 26)
        raise HostError(
            f"two guests of {memory(wanted)} do not fit into the {memory(available)} of memory"
            f" that are free here: try --memory {room >> 20}M"
        )


def headline(demo: Demo) -> str:
    """The sentence above the table: machine, guest, link, and who compressed."""
    facts = host_facts()
    link = "an unlimited link"
    if demo.max_bandwidth:
        link = f"a link of {demo.max_bandwidth * 8 / 1e9:g} Gbit/s"
    data = "the files of RAMFERRY_DATA" if demo.files else "generated text, records and zero pages"
    return (
        f"{facts['cores']} cores ({facts['cpu']}), {_guest_of(demo)}:"
        f" an idle guest of {memory(demo.memory)}, full of {data}, carried by a relay pair with"
        f" {demo.channels} channels over {link}; all compression in software."
    )


def _guest_of(demo: Demo) -> str:
    if demo.binary is None:
        return "Ramferry's built-in guest in place of a QEMU"
    version = ".".join(map(str, demo.binary.version))
    return f"QEMU {version} with {accelerator().upper()}"


def how_to_get_qemu(managers: Sequence[str] | None = None) -> str:
    """A sentence that says how to install QEMU with a package manager of this host."""
    if managers is None:
        managers = [name for name in PACKAGES if shutil.which(name)]
    lines = [PACKAGES[name] for name in managers] or list(PACKAGES.values())
    return (
        "there is no qemu-system-x86_64 on the PATH: `"
        + "` or `".join(lines)
        + "` (as root) brings one, and then a real guest is migrated here."
    )
