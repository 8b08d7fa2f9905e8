"""Findings about IAA: driver, device, shared virtual memory, work queues, nodes.

Facts from the kernel's idxd driver and QEMU's ``docs/devel/migration/qpl-compression.rst``.
"""

from __future__ import annotations

import re
from typing import Final

from ramferry.hardware.diagnosis.make import Commands, none_of, ok, problem, several, warning
from ramferry.hardware.facts import HostFacts
from ramferry.hardware.families import IAA_IDS
from ramferry.hardware.iaa import IaaDevice, WorkQueue
from ramferry.hardware.pci import PciFunction
from ramferry.hardware.root import number
from ramferry.metrics.host import Evidence, Finding

NO_SVA: Final = 0x80110000
"""cmd_status after idxd refused a user queue for want of shared virtual addressing."""

ADVISED_KERNEL: Final = (5, 18)
ECAP_BITS: Final = {40: "PASID", 43: "scalable mode"}
"""Extended capabilities of the IOMMU that SVM needs; they say what it could, not what is on."""


def judge_iaa(facts: HostFacts) -> list[Finding]:
    """All findings about IAA; one where there is none."""
    iaa = facts.iaa
    if not iaa.functions and not iaa.devices:
        return [ok("iaa-device", "IAA", "there is no IAA device", none_of("IAA", facts.pci_bus))]
    findings = [_driver(function) for function in iaa.functions]
    if iaa.devices:
        findings += _kernel(facts)
    elif all(function.driver.content == "idxd" for function in iaa.functions):
        sentence = "the driver idxd shows no device of its own"
        bus = Evidence("/sys/bus/dsa/devices")
        commands = ("sudo dmesg | grep -i idxd",)
        findings.append(problem("iaa-device", "IAA", sentence, bus, commands=commands))
    findings += _svm(facts)
    for device in iaa.devices:
        findings += _halted(device) or _queues(facts, device)
    return findings


def _driver(function: PciFunction) -> Finding:
    name = IAA_IDS[number(function.device) or 0]
    if function.driver.content == "idxd":
        sentence = f"an {name} device, bound to its driver idxd"
        return ok("iaa-driver", function.address, sentence, function.device, function.driver)
    bound = function.driver.content or "no driver"
    return problem(
        "iaa-driver",
        function.address,
        f"an {name} device on {bound} instead of idxd",
        function.device,
        function.driver,
        commands=("sudo modprobe idxd",),
    )


def _kernel(facts: HostFacts) -> list[Finding]:
    """A finding only where the kernel is older than QEMU advises for QPL."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})", facts.kernel.content or "")
    if not found or (int(found[1]), int(found[2])) >= ADVISED_KERNEL:
        return []
    sentence = "this kernel is older than 5.18, which QEMU advises for IAA"
    return [warning("iaa-kernel", "IAA", sentence, facts.kernel)]


def _svm(facts: HostFacts) -> list[Finding]:
    """One finding about the devices that have it, one about those that lack it."""
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
    first = next((d for d in unable if number(d.cmd_status) == NO_SVA), unable[0])
    refused = number(first.cmd_status) == NO_SVA
    sentence = (
        f"no shared virtual memory (SVM) for {', '.join(device.name for device in unable)}"
        + (", and the driver refused a queue for want of it" if refused else "")
        + "; QPL is slow without it: use QATzip, or software"
    )
    return problem(
        "iaa-svm",
        "IAA",
        sentence,
        first.pasid_enabled,
        first.cmd_status,
        facts.cmdline,
        *(_capability(ecap) for ecap in facts.iaa.ecaps[:1]),
        commands=facts.distribution.boot_with("intel_iommu=on,sm_on"),
    )


def _capability(ecap: Evidence) -> Evidence:
    """An IOMMU's capabilities, with those that SVM needs spelt out."""
    try:
        bits = int(ecap.content or "", 16)
    except ValueError:
        return ecap
    names = [f"{'' if bits >> bit & 1 else 'no '}{name}" for bit, name in ECAP_BITS.items()]
    return Evidence(ecap.path, f"{ecap.content} ({', '.join(names)})")


def _halted(device: IaaDevice) -> list[Finding]:
    """A finding only where an error stopped the device: nothing else of it counts then."""
    if device.state.content != "halted":
        return []
    commands = ("sudo dmesg | grep -i idxd", "sudo reboot")
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
        commands=(*facts.distribution.install_accel_config(), *_configure(device)),
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
