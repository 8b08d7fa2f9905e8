"""From findings to one conclusion for each accelerator, and the doctor's exit code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ramferry.hardware.diagnosis.make import several
from ramferry.hardware.diagnosis.stack import Stack, stack_of
from ramferry.hardware.diagnosis.virtual import ORPHANS
from ramferry.hardware.facts import HostFacts
from ramferry.hardware.families import instances
from ramferry.hardware.qat import QatFunction
from ramferry.metrics.host import Conclusion, Finding, Standing, Verdict

QATZIP: Final = "QATzip in hardware"
QPL: Final = "QPL"

READY_EXIT: Final = 0
SOFTWARE_EXIT: Final = 10
BROKEN_EXIT: Final = 11


def conclude_qatzip(facts: HostFacts, findings: Sequence[Finding]) -> Conclusion:
    """Ready if a device compresses, by its services or by proof, and no problem was found."""
    if not facts.qat:
        return Conclusion(QATZIP, Standing.ABSENT, "software only: there is no QAT device")
    of_qat = [finding for finding in findings if finding.check.startswith("qat-")]
    proof = next((finding for finding in of_qat if finding.check == "qat-offload"), None)
    usable = _usable(facts, of_qat)
    if proof and proof.verdict is Verdict.OK:
        return Conclusion(QATZIP, Standing.READY, f"ready: {proof.sentence}", usable)
    if proof and proof.verdict is Verdict.PROBLEM:
        return Conclusion(QATZIP, Standing.BROKEN, "software only, because " + proof.sentence)
    if _problems(of_qat, "QAT") or not usable:
        return Conclusion(QATZIP, Standing.BROKEN, "software only, because " + _reasons(of_qat))
    proven = tuple(address for address in usable if _compresses(facts, address))
    if not proven:
        names = ", ".join(f"the {name}" if name == ORPHANS else name for name in usable)
        sentence = f"software only, until a session proves {names}: the services are not known"
        return Conclusion(QATZIP, Standing.UNPROVEN, sentence, usable)
    sentence = f"ready on {', '.join(proven)}"
    return Conclusion(QATZIP, Standing.READY, sentence, proven)


def conclude_qpl(facts: HostFacts, findings: Sequence[Finding]) -> Conclusion:
    """Ready if a device has SVM and a queue that the user may open."""
    iaa = facts.iaa
    if not iaa.functions and not iaa.devices:
        return Conclusion(QPL, Standing.ABSENT, "not ready: there is no IAA device")
    of_iaa = [finding for finding in findings if finding.check.startswith("iaa-")]
    usable = tuple(
        device.name for device in iaa.devices if device.svm and not _problems(of_iaa, device.name)
    )
    if usable:
        return Conclusion(QPL, Standing.READY, f"ready on {', '.join(usable)}", usable)
    return Conclusion(QPL, Standing.BROKEN, "not ready, because " + _reasons(of_iaa))


def exit_code(qatzip: Conclusion, qpl: Conclusion) -> int:
    """0 ready, 10 software only, 11 broken set-up.

    A broken QAT set-up is always 11. IAA, which only a QEMU with qpl uses, decides if no QAT device
    is ready.
    """
    if qatzip.standing is Standing.BROKEN:
        return BROKEN_EXIT
    if Standing.READY in (qatzip.standing, qpl.standing):
        return READY_EXIT
    return BROKEN_EXIT if qpl.standing is Standing.BROKEN else SOFTWARE_EXIT


def _usable(facts: HostFacts, findings: Sequence[Finding]) -> tuple[str, ...]:
    """Devices without a problem; "VFs" stands for those whose PF this host does not see."""
    through_vfs = stack_of(facts) is not Stack.OUT_OF_TREE
    found = [
        pf.address
        for pf in facts.physical
        if not _problems(findings, pf.address)
        and not _without_compression(pf)
        and (facts.vfs_of(pf) or not through_vfs)
    ]
    if facts.orphans and not _problems(findings, ORPHANS):
        found.append(ORPHANS)
    return tuple(found)


def _without_compression(pf: QatFunction) -> bool:
    return pf.services.content is not None and instances(pf.services.content) == 0


def _compresses(facts: HostFacts, subject: str) -> bool:
    """Whether the device is set up to compress: by cfg_services in-tree, by its configuration file
    with Intel's own driver."""
    pf = next((pf for pf in facts.physical if pf.address == subject), None)
    if pf is None:
        return False
    if pf.services.content is None:
        return stack_of(facts) is Stack.OUT_OF_TREE
    return instances(pf.services.content) != 0


def _problems(findings: Iterable[Finding], subject: str) -> list[Finding]:
    return [f for f in findings if f.subject == subject and f.verdict is Verdict.PROBLEM]


def _reasons(findings: Sequence[Finding]) -> str:
    """The first problem and the number of others; the same of warnings if there is no problem."""
    problems = [f for f in findings if f.verdict is Verdict.PROBLEM]
    causes = problems or [f for f in findings if f.verdict is Verdict.WARNING]
    if not causes:
        return "no device can be used"
    first = causes[0]
    place = f"{first.subject}: " if first.subject not in ("QAT", "IAA") else ""
    more = f" (and {several(len(causes) - 1, 'more problem')})" if len(causes) > 1 else ""
    return place + first.sentence + more
