"""Findings about one PF that the kernel's own driver serves (gen4 on)."""

from __future__ import annotations

from ramferry.hardware.diagnosis import remedies
from ramferry.hardware.diagnosis.make import Commands, ok, problem, several, warning
from ramferry.hardware.diagnosis.remedies import RESTART
from ramferry.hardware.diagnosis.stack import Stack, stack_of
from ramferry.hardware.facts import HostFacts, count_list
from ramferry.hardware.families import instances
from ramferry.hardware.qat import VFIO_DRIVER, QatFunction
from ramferry.hardware.root import number
from ramferry.metrics.host import Evidence, Finding


def judge_physical(facts: HostFacts, pf: QatFunction) -> list[Finding]:
    """Driver, NUMA node, state, services, VFs, errors; only the driver if that is missing."""
    findings = [judge_driver(facts, pf)]
    if pf.pci.driver.content != pf.family.driver:
        return findings
    findings += _numa(facts, pf)
    if pf.sysfs:
        findings += [_state(pf), _services(facts, pf)]
    else:
        findings.append(
            warning(
                "qat-services",
                pf.address,
                "the kernel shows neither state nor services (it is older than 6.0, or the driver"
                " is not its own): only a session can show whether this device compresses",
                pf.services,
                facts.kernel,
            )
        )
    return [*findings, _vf_count(pf), *_errors(pf)]


def judge_driver(facts: HostFacts, pf: QatFunction) -> Finding:
    """Whether the right driver is bound to this PF."""
    family, bound = pf.family, pf.pci.driver
    who = f"a {family.name} device (gen{family.generation})"
    if bound.content == family.driver:
        sentence = f"{who}, bound to its driver {family.driver}"
        return ok("qat-driver", pf.address, sentence, pf.pci.device, bound)
    if bound.content is None:
        return _without_driver(facts, pf, f"{who} without a driver")
    sentence = f"{who}, bound to {bound.content}: this host cannot use it"
    if bound.content == VFIO_DRIVER:
        sentence += "; the whole device is lent to a guest or to DPDK"
    commands = (
        *remedies.load(facts, family.module),
        *remedies.rebind(pf.address, bound.content, family.driver),
    )
    return problem("qat-driver", pf.address, sentence, bound, commands=commands)


def _without_driver(facts: HostFacts, pf: QatFunction, who: str) -> Finding:
    """The module is not loaded, or it lacks firmware, or it refused the device for another cause.

    A module without its firmware is loaded, and each of its devices stays without a driver.
    """
    module = pf.family.module
    loaded = facts.linux.loaded(module)
    missing = [file for file in pf.firmware if file.content is None]
    log: Commands = ("sudo dmesg | grep -i qat",)
    evidence = (pf.pci.driver, Evidence(f"/sys/module/{module}", "loaded" if loaded else None))
    if missing:
        names = ", ".join(file.path.rpartition("/")[2] for file in missing)
        state = "is loaded, but its" if loaded else "is not loaded, and its"
        source, install = _firmware(facts, pf)
        sentence = f"{who}: the module {module} {state} firmware is missing: {names}{source}"
        again = remedies.reload(module) if loaded else remedies.load(facts, module)
        commands = (*install, *again, *log)
        return problem("qat-driver", pf.address, sentence, *evidence, *missing, commands=commands)
    if loaded:
        sentence = f"{who}: the module {module} is loaded and refused it; the kernel's log says why"
        return problem("qat-driver", pf.address, sentence, *evidence, commands=log)
    sentence = f"{who}: the module {module} is not loaded"
    commands = (*remedies.load(facts, module), *log)
    return problem("qat-driver", pf.address, sentence, *evidence, commands=commands)


def _firmware(facts: HostFacts, pf: QatFunction) -> tuple[str, Commands]:
    """For missing firmware: the end of the sentence, and the lines that install it."""
    install = facts.distribution.install_firmware(pf.family.firmware or "")
    intels = not pf.family.in_tree and (not install or stack_of(facts) is Stack.OUT_OF_TREE)
    if intels:
        return "; Intel's own package brings them", ()
    if install:
        return "", install
    return (
        f"; no package of {facts.distribution.name} is known to have them: the kernel's"
        " linux-firmware repository keeps such files under intel/qat"
    ), ()


def _numa(facts: HostFacts, pf: QatFunction) -> list[Finding]:
    """A finding if the firmware does not say which NUMA node the device is on; none otherwise."""
    if pf.pci.numa_node.content != "-1":
        return []
    nodes = count_list(facts.numa_nodes.content)
    if nodes > 1:
        sentence = (
            f"the firmware does not say on which of {nodes} NUMA nodes the device is: threads"
            " and memory cannot be placed beside it"
        )
        return [warning("qat-numa", pf.address, sentence, pf.pci.numa_node, facts.numa_nodes)]
    sentence = "the device names no NUMA node, which is right on a host with one"
    return [ok("qat-numa", pf.address, sentence, pf.pci.numa_node)]


def _state(pf: QatFunction) -> Finding:
    if pf.state.content == "up":
        return ok("qat-state", pf.address, "the device is up", pf.state)
    if pf.state.content == "down":
        commands = (f"echo up | sudo tee {pf.state.path}", RESTART)
        return problem("qat-state", pf.address, "the device is down", pf.state, commands=commands)
    sentence = "the device does not tell whether it is up"
    return warning("qat-state", pf.address, sentence, pf.state)


def _services(facts: HostFacts, pf: QatFunction) -> Finding:
    services = pf.services.content
    if services is None:
        sentence = (
            "the device does not tell its services: only a session can show whether it compresses"
        )
        return warning("qat-services", pf.address, sentence, pf.services, facts.kernel)
    count = instances(services)
    if count == 0:
        return _no_compression(facts, pf, services)
    if count is None:
        sentence = (
            f"services are {services}: it compresses; how many instances a VF brings is not known"
        )
        return warning("qat-services", pf.address, sentence, pf.services)
    sentence = f"services are {services}: each VF brings {count} compression instances"
    if ";" in services:
        sentence += "; dc alone would bring twice that, and twice the engines"
    return ok("qat-services", pf.address, sentence, pf.services)


def _no_compression(facts: HostFacts, pf: QatFunction, services: str) -> Finding:
    """A problem if no other PF compresses, else no more than a remark."""
    others = [
        other
        for other in facts.physical
        if other is not pf and instances(other.services.content or "") != 0
    ]
    sentence = f"services are {services or 'none'}: no compression"
    if "decomp" in services.split(";"):
        sentence += ", only decompression, which serves a destination"
    make = warning if others else problem
    if others:
        sentence += (
            f", while {others[0].address} has it: a process that is given only VFs of this device"
            " finds no compression instance"
        )
    commands: Commands = (
        f"echo down | sudo tee {pf.state.path}",
        f"echo dc | sudo tee {pf.services.path}",
        f"echo up | sudo tee {pf.state.path}",
        RESTART,
    )
    if remedies.undone_by_service(facts):
        sentence += f"; {facts.settings.path} sets them so whenever qat.service starts"
        commands = remedies.edit_settings(facts)
    return make("qat-services", pf.address, sentence, pf.services, commands=commands)


def _vf_count(pf: QatFunction) -> Finding:
    """User space reaches the device through VFs only."""
    made, most = number(pf.pci.sriov_numvfs), number(pf.pci.sriov_totalvfs)
    visible = len(pf.pci.virtfns)
    if made is None:
        sentence = "the device shows no SR-IOV: VT-d or SR-IOV may be off in the firmware's set-up"
        return problem("qat-vfs", pf.address, sentence, pf.pci.sriov_numvfs)
    if made == 0:
        return problem(
            "qat-vfs",
            pf.address,
            f"no VFs are made (it can have {most or 'some'}): user space has nothing to open",
            pf.pci.sriov_numvfs,
            commands=(f"echo {most or 16} | sudo tee {pf.pci.sriov_numvfs.path}", RESTART),
        )
    if made != visible:
        sentence = f"{several(made, 'VF')} announced, {visible or 'none'} visible"
        make = warning if visible else problem
        return make("qat-vfs", pf.address, sentence, pf.pci.sriov_numvfs)
    sentence = f"{made} of {several(most, 'VF')} made" if most else f"{several(made, 'VF')} made"
    return ok("qat-vfs", pf.address, sentence, pf.pci.sriov_numvfs)


def _errors(pf: QatFunction) -> list[Finding]:
    """A finding if there were errors that stop the device; none otherwise."""
    count = number(pf.fatal_errors) or 0
    if count <= 0:
        return []
    sentence = f"the device has counted {several(count, 'fatal error')} since it was started"
    commands = ("sudo dmesg | grep -i qat",)
    return [warning("qat-errors", pf.address, sentence, pf.fatal_errors, commands=commands)]
