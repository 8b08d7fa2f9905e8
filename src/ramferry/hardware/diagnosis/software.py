"""Findings about the software around QAT devices: libraries, qat.service, a kernel to avoid."""

from __future__ import annotations

import re
from typing import Final

from ramferry.hardware.diagnosis import remedies
from ramferry.hardware.diagnosis.make import ok, problem, several, warning
from ramferry.hardware.diagnosis.stack import outside
from ramferry.hardware.facts import HostFacts
from ramferry.hardware.libraries import OUT_OF_TREE_QAT
from ramferry.hardware.root import natural
from ramferry.metrics.host import Evidence, Finding
from ramferry.vocabulary import QAT_SONAME, QATZIP_SONAME

NOT_FOUND: Final = "in none of the dynamic linker's directories"

TRAP: Final = (6, 1, 148)
"""The last kernel of 6.1 on which qatlib 24.09 and 25.08 stumble over the services (Intel's
release notes, QATE-106085)."""


def judge_software(facts: HostFacts) -> list[Finding]:
    """Libraries and service of whatever stack drives the devices."""
    findings = [_qatzip(facts), _qat(facts)]
    if outside(facts):
        return findings
    return [*findings, *_manager(facts), *_settings(facts), *_kernel(facts)]


def _qatzip(facts: HostFacts) -> Finding:
    libraries = facts.libraries
    file = libraries.usable_qatzip
    if file:
        version = libraries.qatzip_version
        sentence = f"QATzip {version}" if version else "a QATzip whose version its file hides"
        return ok("qat-libqatzip", "QAT", f"{sentence} is installed", file)
    if libraries.qatzip:
        names = ", ".join(found.path.rpartition("/")[2] for found in libraries.qatzip)
        sentence = f"{names} has another interface than {QATZIP_SONAME}: QATzip 1.0.8 or older"
    else:
        sentence = f"{QATZIP_SONAME} is not installed"
    evidence = libraries.qatzip or (Evidence(QATZIP_SONAME, trouble=NOT_FOUND),)
    return problem(
        "qat-libqatzip",
        "QAT",
        sentence + _source_of_qatzip(facts),
        *evidence,
        commands=_install(facts),
    )


def _source_of_qatzip(facts: HostFacts) -> str:
    if outside(facts):
        return ": build it against Intel's package, with ICP_ROOT set"
    if facts.distribution.has_qatzip:
        return ""
    return f": {facts.distribution.name} has no package of it, so build it from its source"


def _install(facts: HostFacts) -> tuple[str, ...]:
    """The distribution's packages fit the kernel's driver only."""
    if outside(facts):
        return ()
    return facts.distribution.install_qatzip()


def _qat(facts: HostFacts) -> Finding:
    intels = outside(facts)
    name = OUT_OF_TREE_QAT if intels else QAT_SONAME
    found = facts.libraries.out_of_tree if intels else facts.libraries.qat
    if found:
        return ok("qat-libqat", "QAT", f"{name} is installed", *found)
    sentence = f"{name}, which QATzip needs, is not installed"
    missing = Evidence(name, trouble=NOT_FOUND)
    commands = () if intels else facts.distribution.install_qatlib()
    if not facts.libraries.usable_qatzip:
        commands = _install(facts)  # which needs qatlib and so brings it
    return problem("qat-libqat", "QAT", sentence, missing, commands=commands)


def _manager(facts: HostFacts) -> list[Finding]:
    """Findings about qatmgr, which the host with the PFs needs and a guest or container does
    not."""
    if facts.manager.exists:
        sentence = "qatmgr gives VFs to processes"
        return [ok("qat-manager", "QAT", sentence, facts.manager.evidence)]
    if not facts.physical:
        return []
    sentence = (
        "qatmgr does not run: each process takes free VFs by itself, six at most unless its"
        " environment sets QAT_POLICY"
    )
    if facts.unit.exists and facts.enabled.content is not None:
        sentence += "; qat.service is enabled, and its log says why it has not started"
    evidence = (facts.manager.evidence, facts.unit.evidence, facts.enabled)
    commands = remedies.start_service(facts)
    return [warning("qat-manager", "QAT", sentence, *evidence, commands=commands)]


def _settings(facts: HostFacts) -> list[Finding]:
    """qat.service's settings, which hold after its next start."""
    if not facts.physical:
        return []
    settings = remedies.settings_of(facts)
    shown = Evidence(
        facts.settings.path,
        " ".join(f"{key}={value}" for key, value in settings.items()) or facts.settings.content,
        facts.settings.trouble,
    )
    wanted = settings.get("ServicesEnabled", "")
    found = {pf.services.content for pf in facts.physical if pf.services.content}
    edit = remedies.edit_settings(facts)
    commented = [key for key, value in settings.items() if "#" in value]
    if commented:
        sentence = f"{commented[0]} has a comment behind its value, which counts as part of it"
        return [warning("qat-settings", "QAT", sentence, shown, commands=edit)]
    if wanted and any(_set(wanted) != _set(services) for services in found):
        sentence = (
            f"qat.service sets the services to {wanted}, and a device has"
            f" {', '.join(sorted(found))}: it changes when the service starts again"
        )
        commands = (remedies.RESTART,) if "dc" in _set(wanted) else edit
        return [warning("qat-settings", "QAT", sentence, shown, commands=commands)]
    policy = settings.get("POLICY", "0")
    given = "one VF of every PF" if policy == "0" else _vfs(policy)
    return [ok("qat-settings", "QAT", f"POLICY {policy}: a process is given {given}", shown)]


def _vfs(policy: str) -> str:
    count = natural(policy)
    return f"{policy} VFs" if count is None else several(count, "VF")


def _set(services: str) -> frozenset[str]:
    return frozenset(services.split(";"))


def _kernel(facts: HostFacts) -> list[Finding]:
    """A finding on the kernels that qatlib 24.09 and 25.08 fail on; none on others.

    Debian's release names no stable version ("6.1.0-37-amd64"); /proc/version does.
    """
    if not (facts.kernel.content or "").startswith("6.1."):
        return []
    texts = (facts.kernel.content or "", facts.build.content or "")
    found = [int(number) for text in texts for number in re.findall(r"\b6\.1\.(\d{1,4})", text)]
    if (6, 1, max(found, default=0)) > TRAP:
        return []
    sentence = (
        "with kernels 6.1 to 6.1.148, qatlib 24.09 and 25.08 fail to set the services:"
        " take another qatlib or a later kernel"
    )
    return [warning("qat-kernel", "QAT", sentence, facts.kernel, facts.build)]
