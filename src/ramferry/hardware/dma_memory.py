"""How much DMA memory QATzip takes from a QAT device's host, by what it allocates.

libusdm hands memory out of slabs of 2 MiB, in units of 1 KiB, 2043 of which are left in a slab.
A process allocates, in KiB::

    593                                       for each instance it opens (qatlib, 512 requests)
    nb·(hw+3) + nb·(9·hw/8+1+3) + 1 + K·(2·hw+3)   for each instance it uses (QATzip getInstMem)
    512+583 as a sender, 1024+512 as a receiver    for each channel (QEMU multifd-qatzip.c)

where hw is hw_buff_sz, nb its number of buffers, and K the device's intermediate buffers. QATzip
1.0.9 to 1.3.1 count so. How many instances are used depends on the channels: each new session
begins at the first instance and moves on where that one is busy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ramferry.errors import UsageError
from ramferry.hardware.families import BY_NAME, INSTANCES_ALONE
from ramferry.metrics.host import DocumentedNeed, MemoryNeed, MemoryPlan
from ramferry.vocabulary import MEMBER_SIZE

KIB: Final = 1024
SLAB_MIB: Final = 2
SLAB_UNITS: Final = 2043
OPENED_KIB: Final = 593
CHANNEL_KIB: Final = {"sender": 512 + 583, "receiver": 1024 + 512}
HIGH_MARGIN_MIB: Final = 4
"""What a slab simulation needed beyond the formula, at most, in 100 cases of up to 16 channels."""

DEFAULT_HW_BUFF_SZ: Final = MEMBER_SIZE
SMALLEST_HW_BUFF_SZ: Final = 1 * KIB
LARGEST_HW_BUFF_SZ: Final = 512 * KIB
"""hw_buff_sz is a power of two in this range; QATzip refuses others."""

SMALL_BUFFER_KIB: Final = 8
BUFFERS: Final = 32
BUFFERS_WHEN_SMALL: Final = 128

UNDOCUMENTED_INTERMEDIATE: Final = 20
"""Intermediate buffers assumed where a device's are not documented: the most any device has."""

MEMLOCK_MIB_PER_VF: Final = 16
"""Locked memory that qatlib's INSTALL asks for each VF."""

LAST_CHECKED_QATZIP: Final = (1, 3, 1)

DOCUMENTED: Final = {
    "sender": {2: 10, 4: 12, 8: 16},
    "receiver": {2: 10, 4: 14, 8: 20},
}
"""MiB by channels for one PF: QEMU's docs/devel/migration/qatzip-compression.rst."""

THREAD_HUGE_PAGES: Final = 6
"""Huge pages for each thread that QATzip's README asks for with the out-of-tree driver."""


@dataclass(frozen=True, slots=True)
class MemoryQuestion:
    """One process that is to be planned for."""

    channels: int
    vfs: int
    instances: int
    """Opened over all VFs."""
    hw_buff_sz: int = DEFAULT_HW_BUFF_SZ
    """Bytes."""
    family: str = "4xxx"
    """Name of a QatFamily."""
    locked_mib: int = 0
    """What the process locks besides."""
    qatzip: tuple[int, ...] = LAST_CHECKED_QATZIP


def used_kib(hw_buff_sz: int, intermediate: int) -> int:
    """KiB of one used instance.

    :raise UsageError: ``hw_buff_sz`` is not a power of two from 1 KiB to 512 KiB.
    """
    power = hw_buff_sz > 0 and hw_buff_sz & (hw_buff_sz - 1) == 0
    if not power or not SMALLEST_HW_BUFF_SZ <= hw_buff_sz <= LARGEST_HW_BUFF_SZ:
        raise UsageError(
            f"hw_buff_sz {hw_buff_sz} is none that QATzip takes: powers of two from 1024 to 524288"
        )
    hw = hw_buff_sz // KIB
    count = BUFFERS_WHEN_SMALL if hw <= SMALL_BUFFER_KIB else BUFFERS
    source = count * (hw + 3)
    destination = count * (-(-9 * hw // 8) + 1 + 3)
    return source + destination + 1 + intermediate * (2 * hw + 3)


def need_mib(role: str, question: MemoryQuestion, used: int) -> int:
    """MiB where ``used`` of the opened instances come to be used; a multiple of the slab."""
    instance = used_kib(question.hw_buff_sz, _intermediate(question.family))
    units = (
        OPENED_KIB * question.instances + instance * used + CHANNEL_KIB[role] * question.channels
    )
    return SLAB_MIB * -(-units // SLAB_UNITS)


def plan_role(role: str, question: MemoryQuestion) -> MemoryNeed:
    """What a sender or a receiver needs, low and high."""
    low = need_mib(role, question, used=1)
    most = min(question.channels, question.instances)
    high = need_mib(role, question, used=most) + HIGH_MARGIN_MIB
    pinned = max(MEMLOCK_MIB_PER_VF * question.vfs, high) + question.locked_mib
    return MemoryNeed(
        role=role,
        low_mib=low,
        high_mib=high,
        memlock_mib=pinned if BY_NAME[question.family].in_tree else None,
        huge_pages=high // SLAB_MIB,
    )


def plan_memory(question: MemoryQuestion, roles: tuple[str, ...]) -> MemoryPlan:
    """The whole plan: needs by role, the documented table beside them, settings.

    :raise UsageError: a number that no process can have.
    """
    if min(question.channels, question.vfs, question.instances) < 1:
        raise UsageError("channels, VFs and instances are 1 or more")
    needs = tuple(plan_role(role, question) for role in roles)
    return MemoryPlan(
        channels=question.channels,
        vfs=question.vfs,
        instances=question.instances,
        hw_buff_sz=question.hw_buff_sz,
        family=question.family,
        needs=needs,
        documented=tuple(documented(question, roles)),
        estimates=estimates(question),
        settings=_settings(question, needs),
    )


def documented(question: MemoryQuestion, roles: tuple[str, ...]) -> list[DocumentedNeed]:
    """QEMU's table beside the formula's low figures for the same instances and buffers."""
    cells = []
    for role in roles:
        for channels, mib in DOCUMENTED[role].items():
            computed = need_mib(role, replace(question, channels=channels), used=1)
            cells.append(DocumentedNeed(role, channels, mib, computed, mib == computed))
    return cells


def estimates(question: MemoryQuestion) -> tuple[str, ...]:
    """Why the formula is only an estimate for this question; empty if it is checked."""
    reasons = []
    family = BY_NAME[question.family]
    if question.hw_buff_sz != DEFAULT_HW_BUFF_SZ:
        reasons.append("hw_buff_sz is not QATzip's default of 64 KiB")
    if not family.in_tree:
        reasons.append("the out-of-tree driver may count its slabs and rings otherwise")
    if family.intermediate is None:
        reasons.append(f"the intermediate buffers of {family.name} are not documented")
    if question.qatzip > LAST_CHECKED_QATZIP:
        reasons.append("QATzip after 1.3.1 is not checked")
    return tuple(reasons)


def vfs_for(instances: int) -> int:
    """VFs that bring so many instances, with dc alone on the device."""
    return -(-instances // INSTANCES_ALONE)


def _intermediate(family: str) -> int:
    known = BY_NAME[family].intermediate
    return UNDOCUMENTED_INTERMEDIATE if known is None else known


def _settings(
    question: MemoryQuestion, needs: tuple[MemoryNeed, ...]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Lines for the files that set the limits, for the larger of the roles."""
    memlock = max(need.memlock_mib or 0 for need in needs)
    pages = max(need.huge_pages for need in needs)
    if not BY_NAME[question.family].in_tree:
        each = max(pages, THREAD_HUGE_PAGES * question.channels)
        options = f"options usdm_drv max_huge_pages={each} max_huge_pages_per_process={each}"
        return (
            ("/etc/sysctl.d/60-qat.conf", (f"vm.nr_hugepages = {each}",)),
            ("/etc/modprobe.d/usdm_drv.conf", (options,)),
        )
    return (
        ("/etc/security/limits.d/60-qat.conf", (f"@qat - memlock {memlock * KIB}",)),
        ("systemd unit, [Service]", (f"LimitMEMLOCK={memlock}M",)),
        (
            "only where qatlib is to use huge pages: /etc/sysctl.d/60-qat.conf",
            (f"vm.nr_hugepages = {pages}",),
        ),
        (
            "and, from qatlib 26.08 on, the environment of the process",
            (f"QAT_MAX_2M_HPG_PER_PROCESS={pages}",),
        ),
    )
