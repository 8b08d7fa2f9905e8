"""Findings about IAA: driver, device, work queues, nodes; ``svm`` has shared virtual memory.

Facts from the kernel's idxd driver and QEMU's ``docs/devel/migration/qpl-compression.rst``.
"""

from __future__ import annotations

import re
from typing import Final

from ramferry.hardware.diagnosis import remedies
from ramferry.hardware.diagnosis.make import Commands, none_of, ok, problem, several, warning
from ramferry.hardware.diagnosis.svm import judge_svm
from ramferry.hardware.facts import HostFacts
from ramferry.hardware.families import IAA_IDS
from ramferry.hardware.iaa import IaaDevice, WorkQueue
from ramferry.hardware.pci import PciFunction
from ramferry.hardware.root import number
from ramferry.metrics.host import Evidence, Finding

ADVISED_KERNEL: Final = (5, 18)
LOG: Final = ("sudo dmesg | grep -i idxd",)


def judge_iaa(facts: HostFacts) -> list[Finding]:
    """All findings about IAA; a single one if there is no IAA device."""
    iaa = facts.iaa
    if not iaa.functions and not iaa.devices:
        return [ok("iaa-device", "IAA", "there is no IAA device", none_of("IAA", facts.pci_bus))]
    findings = [_driver(facts, function) for function in iaa.functions]
    if iaa.devices:
        findings += _kernel(facts)
    elif all(function.driver.content == "idxd" for function in iaa.functions):
        sentence = "the driver idxd shows no device of its own"
        bus = Evidence("/sys/bus/dsa/devices")
        findings.append(problem("iaa-device", "IAA", sentence, bus, commands=LOG))
    findings += judge_svm(facts)
    for device in iaa.devices:
        findings += _halted(device) or _queues(facts, device)
    return findings


def _driver(facts: HostFacts, function: PciFunction) -> Finding:
    name = IAA_IDS[number(function.device) or 0]
    if function.driver.content == "idxd":
        sentence = f"an {name} device, bound to its driver idxd"
        return ok("iaa-driver", function.address, sentence, function.device, function.driver)
    bound = function.driver.content
    sentence = f"an {name} device on {bound or 'no driver'} instead of idxd"
    evidence = (function.device, function.driver)
    commands = remedies.load(facts, "idxd")
    if bound:
        commands += remedies.rebind(function.address, bound, "idxd")
    elif not commands:
        sentence += ": the module idxd is loaded and refused it; the kernel's log says why"
        commands = LOG
    return problem("iaa-driver", function.address, sentence, *evidence, commands=commands)


def _kernel(facts: HostFacts) -> list[Finding]:
    """A finding if the kernel is older than QEMU advises for QPL; none otherwise."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})", facts.kernel.content or "")
    if not found or (int(found[1]), int(found[2])) >= ADVISED_KERNEL:
        return []
    sentence = "this kernel is older than 5.18, which QEMU advises for IAA"
    return [warning("iaa-kernel", "IAA", sentence, facts.kernel)]


def _halted(device: IaaDevice) -> list[Finding]:
    """A finding if an error stopped the device, in which case nothing else of it is judged; none
    otherwise."""
    if device.state.content != "halted":
        return []
    commands = (*LOG, "sudo reboot")
    sentence = "the device has halted after an error"
    return [problem("iaa-state", device.name, sentence, device.state, commands=commands)]


def _queues(facts: HostFacts, device: IaaDevice) -> list[Finding]:
    fit = [queue for queue in device.queues if queue.fits_qpl]
    if not fit or device.state.content != "enabled":
        return [_no_queue(facts, device)]
    first = fit[0]
    sentence = f"{several(len(fit), 'work queue')} for QPL (enabled, shared, user)"
    evidence = (first.state, first.mode, first.type, first.size)
    return [ok("iaa-queue", device.name, sentence, *evidence), _nodes(facts, device, fit)]


def _no_queue(facts: HostFacts, device: IaaDevice) -> Finding:
    dedicated = [queue for queue in device.queues if queue.mode.content == "dedicated"]
    enabled = [queue for queue in device.queues if queue.enabled_for_user]
    sentence = "no work queue is enabled, shared and for user space, as QPL needs it"
    if device.state.content != "enabled":
        sentence = f"the device is {device.state.content or 'in no state that can be read'}"
        if not device.svm:
            sentence += ": no shared queue can be enabled before SVM is on"
    elif enabled and dedicated:
        sentence = f"{enabled[0].name} is dedicated, and QPL takes only shared queues"
    shown = (enabled or list(device.queues))[:1]
    evidence = [part for queue in shown for part in (queue.state, queue.mode, queue.type)]
    return problem(
        "iaa-queue",
        device.name,
        sentence,
        device.state,
        *evidence,
        commands=(*remedies.install_accel_config(facts), *_configure(device)),
    )


def _configure(device: IaaDevice) -> Commands:
    """One shared queue over all engines, as QEMU's document sets it up."""
    index = device.name.removeprefix("iax")
    queue = f"{device.name}/wq{index}.0"
    last = (number(device.max_engines) or 8) - 1
    stop = (f"sudo accel-config disable-device {device.name}",)
    return (
        *(stop if device.state.content == "enabled" else ()),
        f"for e in $(seq 0 {last}); do"
        f" sudo accel-config config-engine {device.name}/engine{index}.$e -g 0; done",
        f"sudo accel-config config-wq {queue} -g 0 -s 128 -p 10 -b 1 -t 128"
        " -m shared -y user -n app1 -d user",
        f"sudo accel-config enable-device {device.name}",
        f"sudo accel-config enable-wq {queue}",
    )


def _nodes(facts: HostFacts, device: IaaDevice, fit: list[WorkQueue]) -> Finding:
    user = facts.identity
    open_ones = [queue for queue in fit if queue.node.opens_for(user.uid, user.gids)]
    node = (open_ones or fit)[0].node
    if open_ones:
        sentence = f"{user.name} may open {node.evidence.path}"
        return ok("iaa-node", device.name, sentence, node.evidence)
    if not node.exists:
        sentence = f"{node.evidence.path} is not there: in a container, pass it in"
        return problem("iaa-node", device.name, sentence, node.evidence)
    sentence = f"{user.name} may not open {node.evidence.path}, which is root's at first"
    commands = (f"sudo setfacl -m u:{user.name}:rw {node.evidence.path}",)
    return problem("iaa-node", device.name, sentence, node.evidence, commands=commands)
