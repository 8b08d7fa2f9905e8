"""From facts to findings and conclusions: pure, so that every host is a table row in a test."""

from __future__ import annotations

from collections.abc import Sequence

from ramferry.hardware.diagnosis.conclusion import conclude_qatzip, conclude_qpl, exit_code
from ramferry.hardware.diagnosis.iaa import judge_iaa
from ramferry.hardware.diagnosis.limits import judge_limits
from ramferry.hardware.diagnosis.make import none_of, ok, warning
from ramferry.hardware.diagnosis.offload import Prove, judge_offload
from ramferry.hardware.diagnosis.out_of_tree import judge_config, judge_out_of_tree
from ramferry.hardware.diagnosis.physical import judge_driver, judge_physical
from ramferry.hardware.diagnosis.qemu import judge_qemus
from ramferry.hardware.diagnosis.software import judge_software
from ramferry.hardware.diagnosis.stack import Stack, judge_stack, stack_of
from ramferry.hardware.diagnosis.virtual import judge_orphans, judge_vfio, judge_vfs
from ramferry.hardware.facts import HostFacts
from ramferry.hardware.qat import QatFunction
from ramferry.metrics.host import DoctorReport, Finding, QemuBuilt

__all__ = ["Prove", "diagnose"]


def diagnose(
    facts: HostFacts,
    qemus: Sequence[QemuBuilt] | None = None,
    prove: Prove | None = None,
) -> DoctorReport:
    """Judge a host.

    :param qemus: what its QEMUs have built in; None if they were not asked.
    :param prove: called once if there is a QAT device, to see whether work reaches it.
    """
    findings = [*_bus(facts), *_qat(facts)]
    if facts.qat and prove:
        findings.append(judge_offload(prove()))
    findings += judge_iaa(facts)
    qatzip, qpl = conclude_qatzip(facts, findings), conclude_qpl(facts, findings)
    findings += judge_qemus(qemus, qatzip.standing, qpl.standing)
    return DoctorReport(
        system=facts.distribution.name,
        kernel=facts.kernel.content or "unknown kernel",
        user=facts.identity.name,
        findings=tuple(findings),
        qatzip=qatzip,
        qpl=qpl,
        qemus=None if qemus is None else tuple(qemus),
        exit_code=exit_code(qatzip, qpl),
    )


def _bus(facts: HostFacts) -> list[Finding]:
    """A finding if the PCI bus cannot be listed; none otherwise."""
    if facts.pci_bus.content is not None:
        return []
    sentence = "the PCI bus cannot be listed, so that no device can be seen"
    return [warning("host-pci", "host", sentence, facts.pci_bus)]


def _qat(facts: HostFacts) -> list[Finding]:
    if not facts.qat:
        return [ok("qat-device", "QAT", "there is no QAT device", none_of("QAT", facts.pci_bus))]
    findings: list[Finding] = []
    for pf in facts.physical:
        findings += _physical(facts, pf)
    findings += [*judge_orphans(facts), *judge_stack(facts)]
    if stack_of(facts) is Stack.OUT_OF_TREE:
        findings += judge_out_of_tree(facts)
    return [*findings, *judge_vfio(facts), *judge_software(facts), *judge_limits(facts)]


def _physical(facts: HostFacts, pf: QatFunction) -> list[Finding]:
    """Judge a PF by the stack that drives it. If both stacks are installed, PFs may differ in
    this."""
    outside = stack_of(facts) in (Stack.OUT_OF_TREE, Stack.BOTH) and not pf.sysfs
    if not outside and pf.family.in_tree:
        return [*judge_physical(facts, pf), *judge_vfs(facts, pf.address, facts.vfs_of(pf))]
    driver = judge_driver(facts, pf)
    return [driver, judge_config(pf)] if outside else [driver]
