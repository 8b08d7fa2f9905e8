"""Findings about the VFs of one PF, or about VFs whose PF is out of sight."""

from __future__ import annotations

from collections.abc import Sequence

from ramferry.hardware.diagnosis import remedies
from ramferry.hardware.diagnosis.make import Commands, ok, problem, several, warning
from ramferry.hardware.diagnosis.remedies import RESTART
from ramferry.hardware.diagnosis.stack import Stack, stack_of
from ramferry.hardware.facts import HostFacts
from ramferry.hardware.qat import VFIO_DRIVER, QatFunction
from ramferry.hardware.root import Node
from ramferry.metrics.host import Evidence, Finding

IOMMU_ON = "intel_iommu=on"
ORPHANS = "VFs"
"""Subject of findings about VFs whose PF this host does not see."""


def judge_orphans(facts: HostFacts) -> list[Finding]:
    """VFs in a guest or container: the PF's settings cannot be seen from here."""
    if not facts.orphans:
        return []
    sentence = (
        f"{several(len(facts.orphans), 'VF')} without a PF, as in a guest: the services are set on"
        " the host that owns the PF, and only a session can show whether they include dc"
    )
    first = facts.orphans[0].pci
    seen = warning("qat-vf-only", ORPHANS, sentence, first.device, first.physfn)
    lendable = [vf for vf in facts.orphans if vf.family.in_tree]
    if lendable and stack_of(facts) is not Stack.OUT_OF_TREE:
        return [seen, *judge_vfs(facts, ORPHANS, lendable)]
    return [seen, *_driverless(facts.orphans)]


def _driverless(vfs: Sequence[QatFunction]) -> list[Finding]:
    """A finding only where Intel's own driver should have taken a VF and did not."""
    idle = [vf.pci.driver for vf in vfs if vf.pci.driver.content is None]
    if not idle:
        return []
    sentence = f"{several(len(idle), 'VF')} without a driver: Intel's out-of-tree package has one"
    return [problem("qat-vf-driver", ORPHANS, sentence, idle[0])]


def judge_vfs(facts: HostFacts, subject: str, vfs: Sequence[QatFunction]) -> list[Finding]:
    """Driver, IOMMU group and node of all VFs of one subject."""
    if not vfs:
        return []
    lent = [vf for vf in vfs if vf.on_vfio]
    findings = [_drivers(facts, subject, vfs, lent)]
    if not lent:
        return findings
    grouped = [vf for vf in lent if vf.pci.iommu_group.content]
    if len(grouped) < len(lent):
        findings.append(_groupless(facts, subject, lent))
    if grouped:
        findings += [*_shared_groups(subject, grouped), _nodes(facts, subject, grouped)]
    return findings


def judge_vfio(facts: HostFacts) -> list[Finding]:
    """A finding only where VFs can be taken and the node that opens the way to them cannot."""
    node = facts.vfio
    if not any(vf.on_vfio and vf.node.exists for vf in facts.virtual):
        return []
    if node.opens_for(facts.identity.uid, facts.identity.gids):
        return []
    if not node.exists:
        sentence = "/dev/vfio/vfio is not there: a container needs it beside the nodes of its VFs"
        return [warning("qat-vfio", "QAT", sentence, node.evidence)]
    sentence = f"{facts.identity.name} may not open /dev/vfio/vfio, which every session needs"
    commands = ("sudo chmod 666 /dev/vfio/vfio",)
    return [problem("qat-vfio", "QAT", sentence, node.evidence, commands=commands)]


def _drivers(
    facts: HostFacts, subject: str, vfs: Sequence[QatFunction], lent: list[QatFunction]
) -> Finding:
    total = several(len(vfs), "VF")
    if len(lent) == len(vfs):
        sentence = f"{total} on {VFIO_DRIVER}"
        return ok("qat-vf-driver", subject, sentence, lent[0].pci.driver)
    others = [vf.pci.driver for vf in vfs if not vf.on_vfio]
    names = sorted({driver.content or "no driver" for driver in others})
    left = f"{len(others)} of {total} on {', '.join(names)} instead of {VFIO_DRIVER}"
    first = vfs[0].pci
    load = remedies.load(facts, VFIO_DRIVER)
    bind = (
        *load,
        f"echo {VFIO_DRIVER} | sudo tee {others[0].path.rpartition('/')[0]}/driver_override",
        f"echo {others[0].path.split('/')[-2]} | sudo tee /sys/bus/pci/drivers_probe",
    )
    commands = bind if first.physfn.content is None else (*load, RESTART)
    make = warning if lent else problem
    return make("qat-vf-driver", subject, left, others[0], commands=commands)


def _groupless(facts: HostFacts, subject: str, lent: list[QatFunction]) -> Finding:
    missing = [vf.pci.iommu_group for vf in lent if not vf.pci.iommu_group.content]
    make = problem if len(missing) == len(lent) else warning
    sentence = f"{several(len(missing), 'VF')} without an IOMMU group: the IOMMU is off"
    evidence = (missing[0], facts.cmdline)
    commands = remedies.boot_with(facts, IOMMU_ON)
    if facts.linux.booted_with(IOMMU_ON):
        sentence += (
            f", though the kernel was started with {IOMMU_ON}: switch VT-d on in the firmware's"
            " set-up"
        )
        commands = ("sudo dmesg | grep -i dmar",)
    return make("qat-iommu-group", subject, sentence, *evidence, commands=commands)


def _shared_groups(subject: str, grouped: list[QatFunction]) -> list[Finding]:
    """A finding only where a group holds more than its VF: vfio wants all of a group."""
    shared = [vf.pci for vf in grouped if len(vf.pci.group_members) > 1]
    if not shared:
        return []
    group = f"/sys/kernel/iommu_groups/{shared[0].iommu_group.content}/devices"
    sentence = (
        f"{several(len(shared), 'VF')} in an IOMMU group with other functions: vfio gives a group"
        " out only when all of it is bound to vfio-pci"
    )
    members = Evidence(group, " ".join(shared[0].group_members))
    return [warning("qat-iommu-group", subject, sentence, members)]


def _nodes(facts: HostFacts, subject: str, grouped: list[QatFunction]) -> Finding:
    """Whether the user may open the nodes; qatlib takes one it cannot open for busy."""
    nodes = [vf.node for vf in grouped]
    there = [node for node in nodes if node.exists]
    closed = [node for node in there if not _opens(facts, node)]
    total = several(len(nodes), "VF")
    user = facts.identity.name
    if not there:
        sentence = (
            f"no node of {total} under /dev/vfio: in a container, pass them in;"
            " on a host, restart qat.service"
        )
        first = nodes[0].evidence
        return problem("qat-vf-node", subject, sentence, first, commands=(RESTART,))
    first = (closed or there)[0].evidence
    evidence = (first, *_all_but(facts.qat_group))
    if not closed:
        sentence = f"{user} may open {len(there)} of {total}"
        return ok("qat-vf-node", subject, sentence, *evidence)
    if facts.identity.uid == 0:
        sentence = f"only root may open {len(closed)} of {total}"
    else:
        sentence = f"{user} may not open {len(closed)} of {total}: they count as busy"
    make = problem if len(closed) == len(there) and facts.identity.uid else warning
    left, commands = remedies.open_node(facts, closed[0], _to_group(closed[0]))
    sentence += left
    return make("qat-vf-node", subject, sentence, *evidence, commands=commands)


def _opens(facts: HostFacts, node: Node) -> bool:
    """For root, who may open all, whether a group may as well: the relay should not be root."""
    if facts.identity.uid == 0:
        return node.mode & 0o060 == 0o060
    return node.opens_for(facts.identity.uid, facts.identity.gids)


def _to_group(node: Node) -> Commands:
    path = node.evidence.path
    return (f"sudo chgrp qat {path}", f"sudo chmod 660 {path}", RESTART)


def _all_but(group: Evidence) -> tuple[Evidence, ...]:
    """The group's line, where there is one."""
    return (group,) if (group.content or "").startswith("qat:") else ()
