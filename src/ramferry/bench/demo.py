"""The demonstration: one guest, one link, each method once; without a QEMU, the codec alone.

There is no second way to migrate: it is the rig and the orchestrator of ``ramferry bench`` and
``ramferry migrate``, with a relay pair for every method, so that all of them meet the same link.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from ramferry import qatzip
from ramferry.bench.fill import fill
from ramferry.bench.machine import machine_facts
from ramferry.bench.qemu import QemuBinary, accelerator
from ramferry.bench.rig import Rig
from ramferry.control.hooks import Hooks
from ramferry.control.plan import RelayMode, Wish
from ramferry.errors import Cancelled, HostError
from ramferry.metrics import MigrationResult
from ramferry.report.units import memory, rate

DEFAULT_MEMORY: Final = {"kvm": 1 << 30, "tcg": 512 << 20}
"""Guest RAM by accelerator; it is held twice, at the source and at the destination."""

LEAST_MEMORY: Final = 64 << 20
"""The smallest guest, in bytes, whose figures are more than those of its firmware."""

SPARE: Final = 512 << 20
"""What is left to the rest of the machine."""

PIECE: Final = 512 * 1024
"""The codec alone works on pieces of a full multifd packet."""

PACKAGES: Final = {
    "apt-get": "apt-get install qemu-system-x86",
    "dnf": "dnf install qemu-system-x86",
    "zypper": "zypper install qemu-x86",
    "pacman": "pacman -S qemu-system-x86",
}
"""Package manager → the line that installs QEMU."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What is demonstrated."""

    binary: QemuBinary
    memory: int
    """Guest RAM in bytes."""
    methods: tuple[str, ...]
    channels: int
    max_bandwidth: int
    """Wire bytes a second; 0 is unlimited."""
    files: tuple[Path, ...] = ()
    """What fills the RAM; the generator where there are none."""


def run(demo: Demo, hooks_of: Callable[[str], Hooks]) -> list[MigrationResult]:
    """Migrate the guest once by each method.

    :param hooks_of: makes the hooks of a method's migration, right before it.
    :raise HostError: this machine has too little memory left.
    :raise Cancelled: ``stop`` of the hooks was set; nothing is left behind.
    """
    check_memory(demo.memory, psutil.virtual_memory().available)
    results = []
    with Rig(demo.binary, demo.binary, demo.memory, demo.files) as rig:
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


def check_memory(wanted: int, available: int) -> None:
    """:raise HostError: two guests of ``wanted`` bytes do not fit into ``available`` ones."""
    if 2 * wanted + SPARE > available:
        room = max(LEAST_MEMORY, ((available - SPARE) // 2) >> 26 << 26)
        raise HostError(
            f"two guests of {memory(wanted)} do not fit into the {memory(available)} of memory"
            f" that are free here: try --memory {room >> 20}M"
        )


def headline(demo: Demo) -> str:
    """The sentence above the table: machine, guest, link, and who compressed."""
    facts = machine_facts(demo.binary, demo.binary)
    link = "an unlimited link"
    if demo.max_bandwidth:
        link = f"a link of {demo.max_bandwidth * 8 / 1e9:g} Gbit/s"
    data = "the files of RAMFERRY_DATA" if demo.files else "generated text, records and zero pages"
    version = ".".join(map(str, demo.binary.version))
    return (
        f"{facts['cores']} cores ({facts['cpu']}), QEMU {version} with {accelerator().upper()}:"
        f" an idle guest of {memory(demo.memory)}, full of {data}, carried by a relay pair with"
        f" {demo.channels} channels over {link}; all compression in software."
    )


@dataclass(frozen=True, slots=True)
class CodecResult:
    """What QATzip made of a piece of guest memory, without a guest."""

    size: int
    compressed: int
    compress_seconds: float
    decompress_seconds: float
    backend: str

    def __str__(self) -> str:
        return (
            f"{memory(self.size)} of generated guest memory: compressed to"
            f" {memory(self.compressed)} ({self.size / self.compressed:.2f} to 1) at"
            f" {rate(self.size / self.compress_seconds)} and back at"
            f" {rate(self.size / self.decompress_seconds)}, on one core, in software"
            f" ({self.backend}), every byte compared."
        )


def codec_alone(size: int = 256 << 20) -> CodecResult:
    """Compress and decompress generated memory as the relays do, packet by packet.

    :raise HostError: a byte came back changed.
    """
    ram = np.zeros(size, np.uint8)
    fill(ram, low=0)
    pieces = [ram.data[at : at + PIECE] for at in range(0, size, PIECE)]
    session = qatzip.Session()
    begun = time.perf_counter()
    packed = [session.compress(piece) for piece in pieces]
    middle = time.perf_counter()
    unpacked = [session.decompress(pack.data) for pack in packed]
    ended = time.perf_counter()
    same = all(memoryview(back.data) == piece for back, piece in zip(unpacked, pieces, strict=True))
    if not same:
        raise HostError("decompression did not give back what was compressed: check this memory")
    return CodecResult(
        size,
        sum(len(pack.data) for pack in packed),
        middle - begun,
        ended - middle,
        packed[0].backend,
    )


def how_to_get_qemu(managers: Sequence[str] | None = None) -> str:
    """A sentence that says how to install QEMU, by the package managers that are here."""
    if managers is None:
        managers = [name for name in PACKAGES if shutil.which(name)]
    lines = [PACKAGES[name] for name in managers] or list(PACKAGES.values())
    return (
        "there is no qemu-system-x86_64 on the PATH: `"
        + "` or `".join(lines)
        + "` (as root) brings one, and then a real guest is migrated here."
    )
