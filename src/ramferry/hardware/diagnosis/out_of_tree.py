"""Findings about Intel's own driver: its nodes, its memory driver, its configuration files.

Facts from Intel's programmer's guide and QATzip's ``config_file/``.
"""

from __future__ import annotations

from ramferry.hardware.diagnosis import remedies
from ramferry.hardware.diagnosis.make import Commands, ok, problem, warning
from ramferry.hardware.facts import HostFacts
from ramferry.hardware.families import COMPRESSION_SERVICES
from ramferry.hardware.qat import QatFunction
from ramferry.hardware.root import natural
from ramferry.metrics.host import Evidence, Finding

SECTION = "SHIM"
"""QATzip's section of the configuration; the environment's QAT_SECTION_NAME names another."""

MOST_INSTANCES = 1024
"""More than any device has rings for; what a damaged file says beyond it is not believed."""

RESTART = "sudo adf_ctl restart"


def judge_out_of_tree(facts: HostFacts) -> list[Finding]:
    """Memory driver, nodes and IOMMU: what every device of this stack needs."""
    return [_memory_driver(facts), _nodes(facts), *_iommu(facts)]


def _memory_driver(facts: HostFacts) -> Finding:
    module = facts.usdm_module.evidence
    if facts.usdm_module.exists:
        return ok("qat-usdm", "QAT", "the memory driver usdm_drv is loaded", module)
    sentence = "the memory driver usdm_drv is not loaded: no DMA memory can be had"
    return problem("qat-usdm", "QAT", sentence, module, commands=("sudo modprobe usdm_drv",))


def _nodes(facts: HostFacts) -> Finding:
    user = facts.identity
    closed = [node for node in facts.out_of_tree_nodes if not node.opens_for(user.uid, user.gids)]
    if not closed:
        evidence = (node.evidence for node in facts.out_of_tree_nodes)
        return ok("qat-node", "QAT", f"{user.name} may open the driver's nodes", *evidence)
    names = ", ".join(node.evidence.path for node in closed)
    shown = [node.evidence for node in closed]
    there = [node for node in closed if node.exists]
    if not there:
        return problem("qat-node", "QAT", f"{names} not there", *shown, commands=(RESTART,))
    otherwise = tuple(
        f"sudo chgrp qat {node.evidence.path} && sudo chmod 660 {node.evidence.path}"
        for node in there
    )
    left, commands = remedies.open_node(
        facts, there[0], (*otherwise, *remedies.enlist(facts, "qat"))
    )
    sentence = f"{user.name} may not open {names}{left}"
    return problem("qat-node", "QAT", sentence, *shown, commands=commands)


def _iommu(facts: HostFacts) -> list[Finding]:
    """PFs of this stack refuse a host whose IOMMU is on (QATzip issue 115)."""
    if not facts.iommu_on or not facts.physical:
        return []
    sentence = "the IOMMU is on, and the out-of-tree driver's PFs do not start with it"
    evidence = (facts.cmdline, facts.iommu_groups)
    commands = remedies.boot_with(facts, "intel_iommu=off")
    if facts.linux.booted_with("intel_iommu=off"):
        sentence += (
            "; intel_iommu=off is on the kernel's command line already: switch VT-d off in the"
            " firmware's set-up"
        )
    return [problem("qat-iommu", "QAT", sentence, *evidence, commands=commands)]


def judge_config(pf: QatFunction) -> Finding:
    """The device's configuration file: compression on, and a section for QATzip."""
    config = pf.config
    if config.content is None:
        sentence = "the device has no configuration file that can be read"
        return problem("qat-config", pf.address, sentence, config)
    sections = _sections(config.content)
    general, shim = sections.get("GENERAL", {}), sections.get(SECTION)
    services = general.get("ServicesEnabled", "")
    if services and not COMPRESSION_SERVICES.intersection(services.split(";")):
        return _refused(pf, f"services are {services}: no compression", "ServicesEnabled", services)
    if shim is None:
        sentence = f"there is no section [{SECTION}], which QATzip asks for"
        evidence = Evidence(config.path, "sections " + ", ".join(sections))
        return problem("qat-config", pf.address, sentence, evidence, commands=_edit(config))
    return _judge_shim(pf, shim)


def _judge_shim(pf: QatFunction, shim: dict[str, str]) -> Finding:
    count, processes = (shim.get(key, "0") for key in ("NumberDcInstances", "NumProcesses"))
    if not natural(count):
        return _refused(pf, f"[{SECTION}] has no compression instances", "NumberDcInstances", count)
    if not natural(processes):
        return _refused(pf, f"[{SECTION}] lets no process in", "NumProcesses", processes)
    shown = f"[{SECTION}] NumberDcInstances = {count} NumProcesses = {processes}"
    sentence = f"[{SECTION}] gives each of {processes} processes {count} compression instances"
    if shim.get("LimitDevAccess") == "1":
        sentence += ", and LimitDevAccess keeps each process to this endpoint"
        evidence = Evidence(pf.config.path, f"{shown} LimitDevAccess = 1")
        return warning("qat-config", pf.address, sentence, evidence, commands=_edit(pf.config))
    return ok("qat-config", pf.address, sentence, Evidence(pf.config.path, shown))


def configured_instances(pf: QatFunction) -> int:
    """Compression instances that the file gives each process on this device."""
    shim = _sections(pf.config.content or "").get(SECTION, {})
    return min(natural(shim.get("NumberDcInstances", "0")) or 0, MOST_INSTANCES)


def _refused(pf: QatFunction, sentence: str, key: str, value: str) -> Finding:
    evidence = Evidence(pf.config.path, f"{key} = {value}")
    return problem("qat-config", pf.address, sentence, evidence, commands=_edit(pf.config))


def _edit(config: Evidence) -> Commands:
    return (f"sudoedit {config.path}", RESTART)


def _sections(text: str) -> dict[str, dict[str, str]]:
    """Read the driver's configuration: [SECTION] and KEY = VALUE, comments from #."""
    sections: dict[str, dict[str, str]] = {}
    keys: dict[str, str] = {}
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            keys = sections.setdefault(line[1:-1].strip(), {})
        elif "=" in line:
            key, _, value = line.partition("=")
            keys[key.strip()] = value.strip().strip("\"'")
    return sections
