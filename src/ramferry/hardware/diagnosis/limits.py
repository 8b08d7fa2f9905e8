"""Findings about memory that a QAT session pins: what it takes, and what bounds it."""

from __future__ import annotations

from typing import Final

from ramferry.hardware.diagnosis.make import ok, problem, several, warning
from ramferry.hardware.diagnosis.out_of_tree import configured_instances
from ramferry.hardware.diagnosis.remedies import lock_memory, settings_of
from ramferry.hardware.diagnosis.stack import outside
from ramferry.hardware.dma_memory import (
    KIB,
    LAST_CHECKED_QATZIP,
    SLAB_MIB,
    MemoryQuestion,
    estimates,
    plan_role,
)
from ramferry.hardware.facts import HostFacts
from ramferry.hardware.families import BY_NAME, INSTANCES_ALONE, instances
from ramferry.hardware.root import natural, number
from ramferry.metrics.host import Finding, MemoryNeed

CHANNELS: Final = 8
"""multifd-channels assumed: the default of ``ramferry migrate``."""

UNMANAGED_VFS: Final = 6
"""Most VFs that a process takes if qatmgr does not run."""


def judge_limits(facts: HostFacts) -> list[Finding]:
    """Memory, locked memory and huge pages for one process of eight channels."""
    question = question_of(facts)
    need = plan_role("receiver", question)
    if outside(facts):
        return [_out_of_tree(facts, question, need)]
    return [_memlock(facts, question, need), _huge_pages(facts, need), *_no_iommu(facts, need)]


def question_of(facts: HostFacts) -> MemoryQuestion:
    """What one process would open on this host; a receiver needs more than a sender."""
    function = (facts.physical or facts.virtual)[0]
    version = (2,) if facts.libraries.qatzip_version.startswith("2") else LAST_CHECKED_QATZIP
    vfs = vfs_for_process(facts)
    return MemoryQuestion(
        CHANNELS, vfs, _opened(facts, vfs), family=function.family.name, qatzip=version
    )


def _opened(facts: HostFacts, vfs: int) -> int:
    """Instances of a process: what the configuration files give it, or what its VFs bring."""
    if outside(facts):
        return max(1, sum(configured_instances(pf) for pf in facts.physical))
    counts = (instances(pf.services.content or "") for pf in facts.physical)
    return vfs * min((count for count in counts if count), default=INSTANCES_ALONE)


def vfs_for_process(facts: HostFacts) -> int:
    """VFs of one process: as many as qatmgr's POLICY gives it, or as it takes without qatmgr."""
    policy = natural(settings_of(facts).get("POLICY", "0"))
    if not facts.manager.exists:
        return max(1, min(UNMANAGED_VFS, len(facts.virtual)))
    if policy:
        return min(policy, max(1, len(facts.virtual)))
    return max(1, len(facts.physical))


def _takes(facts: HostFacts, question: MemoryQuestion, need: MemoryNeed) -> str:
    note = ", by estimate," if estimates(question) else ""
    given = (
        several(question.vfs, "VF") if facts.virtual else several(question.instances, "instance")
    )
    return f"{need.low_mib} to {need.high_mib} MiB{note} for {CHANNELS} channels on {given}"


def _memlock(facts: HostFacts, question: MemoryQuestion, need: MemoryNeed) -> Finding:
    """libusdm pins through vfio, which the kernel charges to the process's locked memory."""
    limits, takes = facts.limits, _takes(facts, question, need)
    limit, advised = limits.memlock_bytes, need.memlock_mib or need.high_mib
    if facts.identity.own and limits.may_lock_all:
        sentence = f"{facts.identity.name} may lock any amount; a process takes {takes}"
        return ok("qat-memlock", "QAT", sentence, limits.capabilities, limits.memlock)
    if not (limits.memlock.content or "").startswith("Max"):
        sentence = f"the limit on locked memory cannot be read; a process takes {takes}"
        return warning("qat-memlock", "QAT", sentence, limits.memlock)
    if limit is None or limit >= advised * KIB * KIB:
        sentence = f"the limit on locked memory allows what a process takes: {takes}"
        return ok("qat-memlock", "QAT", sentence, limits.memlock)
    sentence = (
        f"locked memory is limited to {limit // KIB} KiB, and {advised} MiB are advised:"
        f" a process takes {takes}"
    )
    commands = lock_memory(facts, advised)
    if not commands:
        sentence += (
            f"; {limits.granted.path} allows it to group qat from the next login on, and to a"
            " service of systemd its LimitMEMLOCK does"
        )
    evidence = (limits.memlock, limits.granted)
    make = problem if limit < need.low_mib * KIB * KIB else warning
    return make("qat-memlock", "QAT", sentence, *evidence, commands=commands)


def _huge_pages(facts: HostFacts, need: MemoryNeed) -> Finding:
    """qatlib 25.08 and 26.02 take huge pages where any are reserved, and nothing else then."""
    limits = facts.limits
    if not number(limits.huge_pages):
        sentence = "no huge pages are reserved: qatlib takes ordinary memory"
        return ok("qat-huge-pages", "QAT", sentence, limits.huge_pages)
    free = number(limits.free_huge_pages) or 0
    evidence = (limits.huge_pages, limits.free_huge_pages)
    if free >= need.huge_pages:
        sentence = (
            f"{free} huge pages of {SLAB_MIB} MiB are free; a process takes {need.huge_pages}"
        )
        return ok("qat-huge-pages", "QAT", sentence, *evidence)
    sentence = (
        f"{free} huge pages are free where a process takes {need.huge_pages}: qatlib 25.08 and"
        " 26.02 use them as soon as any are reserved, without falling back"
    )
    wanted = (number(limits.huge_pages) or 0) + need.huge_pages - free
    commands = (f"sudo sysctl vm.nr_hugepages={wanted}",)
    return warning("qat-huge-pages", "QAT", sentence, *evidence, commands=commands)


def _no_iommu(facts: HostFacts, need: MemoryNeed) -> list[Finding]:
    """In no-IOMMU mode DMA memory can only come from huge pages."""
    without = [vf.node for vf in facts.virtual if vf.without_iommu]
    if not without:
        return []
    evidence = (without[0].evidence, facts.limits.huge_pages)
    if number(facts.limits.huge_pages):
        sentence = (
            "vfio runs without an IOMMU: DMA memory comes from huge pages, and nothing confines"
            " the device to it"
        )
        return [warning("qat-no-iommu", "QAT", sentence, *evidence)]
    sentence = "vfio runs without an IOMMU, which needs huge pages, and none are reserved"
    commands = (f"sudo sysctl vm.nr_hugepages={need.huge_pages}",)
    return [problem("qat-no-iommu", "QAT", sentence, *evidence, commands=commands)]


def _out_of_tree(facts: HostFacts, question: MemoryQuestion, need: MemoryNeed) -> Finding:
    """Findings for usdm_drv, which hands the memory out, from huge pages if both its parameters
    allow them."""
    limits = facts.limits
    family = BY_NAME[question.family]
    sentence = f"from usdm_drv a process takes {_takes(facts, question, need)}"
    if family.intermediate:
        sentence += f" of {family.name}, each with {family.intermediate} intermediate buffers"
    used = (facts.slabs.evidence,) if facts.slabs.exists else ()
    evidence = (limits.usdm_huge_pages, limits.usdm_huge_pages_per_process, *used)
    total, each = number(limits.usdm_huge_pages), number(limits.usdm_huge_pages_per_process)
    if bool(total) != bool(each):
        sentence += "; it uses huge pages only where both its limits are above 0"
        return warning("qat-memory", "QAT", sentence, *evidence)
    if each and each < need.huge_pages:
        sentence += f"; its {each} huge pages a process are fewer than {need.huge_pages}"
        return warning("qat-memory", "QAT", sentence, *evidence)
    return ok("qat-memory", "QAT", sentence, *evidence)
