"""Findings about the shared virtual memory (SVM) that QPL needs of an IAA device.

It takes the words on the kernel's command line, an IOMMU that can do it and that the firmware's
set-up shows, and the same depth of page tables in CPU and IOMMU. Sources: the kernel's
``drivers/iommu/intel/svm.c`` and ``iommu.h`` (what it needs, bits, sentences),
``drivers/dma/idxd/init.c`` and ``include/uapi/linux/idxd.h`` (``cmd_status``).
"""

from __future__ import annotations

from typing import Final

from ramferry.hardware.diagnosis import remedies
from ramferry.hardware.diagnosis.make import Commands, ok, problem
from ramferry.hardware.facts import HostFacts
from ramferry.hardware.iaa import IaaDevice
from ramferry.hardware.root import number
from ramferry.metrics.host import Evidence, Finding

REFUSALS: Final = frozenset({0x80050000, 0x800C0000, 0x80110000})
"""cmd_status after idxd refused a queue for want of SVM: IDXD_SCMD_WQ_NO_SVM, of a shared one
(WQ_NO_SWQ_SUPPORT), of one for user space (WQ_USER_NO_IOMMU)."""

WORDS: Final = "intel_iommu=on,sm_on"
FOUR_LEVELS: Final = "no5lvl"

ECAP_BITS: Final = {40: "PASID", 43: "scalable mode"}
"""Extended capabilities of the IOMMU that SVM needs; they say what it could, not what is on."""

FIVE_LEVELS_BIT: Final = 60
"""Capability of the IOMMU to follow page tables of five levels (FL5LP)."""

LOG: Final = "sudo dmesg | grep -iE 'dmar|idxd'"
PAGING_SAID: Final = '"SVM disabled, incompatible paging mode"'
IDXD_SAID: Final = '"Unable to turn on user SVA feature"'


def judge_svm(facts: HostFacts) -> list[Finding]:
    """One finding about the devices that have SVM, one about those that lack it."""
    able = [device for device in facts.iaa.devices if device.svm]
    unable = [device for device in facts.iaa.devices if not device.svm]
    findings = [_with_svm(able)] if able else []
    return [*findings, _without_svm(facts, unable)] if unable else findings


def _with_svm(able: list[IaaDevice]) -> Finding:
    """An enabled queue of type user is the strongest proof: idxd refuses it without SVM."""
    names = ", ".join(device.name for device in able)
    queues = [queue for device in able for queue in device.queues if queue.enabled_for_user]
    if not queues:
        sentence = f"shared virtual memory is on for {names}"
        return ok("iaa-svm", "IAA", sentence, able[0].pasid_enabled)
    sentence = f"shared virtual memory works for {names}: {queues[0].name} is enabled for users"
    return ok("iaa-svm", "IAA", sentence, queues[0].state, queues[0].type, able[0].pasid_enabled)


def _without_svm(facts: HostFacts, unable: list[IaaDevice]) -> Finding:
    first = next((device for device in unable if _refused(device)), unable[0])
    left, commands = _left(facts)
    names = ", ".join(device.name for device in unable)
    sentence = (
        f"no shared virtual memory (SVM) for {names}"
        + (", and the driver refused a queue for want of it" if _refused(first) else "")
        + left
        + "; QPL is slow without it: use QATzip, or software"
    )
    evidence = (
        first.pasid_enabled,
        first.cmd_status,
        facts.cmdline,
        *(_capability(ecap) for ecap in facts.iaa.ecaps[:1]),
        *(each for each in (*facts.iaa.caps[:1], facts.paging) if each.content is not None),
    )
    return problem("iaa-svm", "IAA", sentence, *evidence, commands=commands)


def _refused(device: IaaDevice) -> bool:
    return number(device.cmd_status) in REFUSALS


def _left(facts: HostFacts) -> tuple[str, Commands]:
    """The part of a sentence that says what is left to do, and the lines that do it."""
    if not facts.linux.booted_with(WORDS):
        return "", remedies.boot_with(facts, WORDS)
    given = f", although the kernel was started with {WORDS}"
    if facts.iaa.sva.content == "N":
        return f"{given}: idxd was loaded with sva=N", remedies.reload("idxd", "sva=1")
    left = f"{given}; left are VT-d and PASID in the firmware's set-up{_hidden(facts)}"
    said = IDXD_SAID
    lines: Commands = (LOG,)
    deep = _too_deep(facts)
    if deep is not False:
        left += f" and the CPUs' 5-level paging (la57), which {FOUR_LEVELS} switches off"
        said += f" and {PAGING_SAID}"
    if deep:
        lines += remedies.boot_with(facts, FOUR_LEVELS)
    return f"{left}: look for {said} in the kernel's log", lines


def _hidden(facts: HostFacts) -> str:
    """The capabilities that SVM needs and the IOMMU does not show."""
    if not facts.iaa.ecaps:
        return " (the kernel shows no IOMMU)"
    lacking = {
        name
        for ecap in facts.iaa.ecaps
        for bit, name in ECAP_BITS.items()
        if (bits := _bits(ecap)) is not None and not bits >> bit & 1
    }
    names = " and no ".join(name for name in ECAP_BITS.values() if name in lacking)
    return f" (the IOMMU shows no {names})" if names else ""


def _too_deep(facts: HostFacts) -> bool | None:
    """Whether the CPUs' page tables are deeper than an IOMMU can follow; None: not known."""
    if facts.paging.content == "no la57" or facts.linux.booted_with(FOUR_LEVELS):
        return False
    known = [bits for cap in facts.iaa.caps if (bits := _bits(cap)) is not None]
    if known and all(bits >> FIVE_LEVELS_BIT & 1 for bits in known):
        return False
    return True if known and facts.paging.content == "la57" else None


def _bits(capability: Evidence) -> int | None:
    try:
        return int(capability.content or "", 16)
    except ValueError:
        return None


def _capability(ecap: Evidence) -> Evidence:
    """An IOMMU's capabilities, with those that SVM needs spelt out."""
    bits = _bits(ecap)
    if bits is None:
        return ecap
    names = [f"{'' if bits >> bit & 1 else 'no '}{name}" for bit, name in ECAP_BITS.items()]
    return Evidence(ecap.path, f"{ecap.content} ({', '.join(names)})")
