"""Frozen records about this host: findings, conclusions, plans and advice.

Made by ``ramferry.hardware``, or, if a library or a QEMU has to be asked, by the layers that ask
it; drawn by ``ramferry.report``. Paths are as a user sees them, without a replaced root.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ramferry.metrics.evidence import Evidence as Evidence


class Verdict(StrEnum):
    """What a finding means for the use of an accelerator."""

    OK = "ok"
    WARNING = "warning"
    """It works or cannot be judged, but may behave unexpectedly."""
    PROBLEM = "problem"
    """It keeps something from working."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """A name for scripts that stays the same: "qat-services"."""
    subject: str
    """What it is about: "0000:6b:00.0", "iax1", or "QAT" and "IAA" for the host as a whole."""
    verdict: Verdict
    sentence: str
    evidence: tuple[Evidence, ...] = ()
    commands: tuple[str, ...] = ()
    """Shell commands that mend it on this distribution, in order."""


class Standing(StrEnum):
    """Whether an accelerator can be used."""

    READY = "ready"
    UNPROVEN = "unproven"
    """Nothing was found to be wrong, but only a session could show that it works."""
    ABSENT = "absent"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What the findings mean for one accelerator as a whole."""

    name: str
    """ "QATzip in hardware", "QPL"."""
    standing: Standing
    sentence: str
    devices: tuple[str, ...] = ()
    """What can be used: addresses of QAT functions, names of IAA devices."""


@dataclass(frozen=True, slots=True)
class QemuBuilt:
    """What one QEMU on the PATH has built in."""

    path: str
    version: str
    """ "7.2.22"; empty if it could not be asked."""
    methods: tuple[str, ...]
    """Members of its MultiFDCompression, sorted."""
    trouble: str = ""
    """Why it could not be asked."""


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All that ``ramferry doctor`` says."""

    system: str
    """The distribution's name for itself."""
    kernel: str
    user: str
    """For whom the permissions were judged."""
    findings: tuple[Finding, ...]
    qatzip: Conclusion
    qpl: Conclusion
    qemus: tuple[QemuBuilt, ...] | None
    """None if they were not asked, because another root than this host's is looked at."""
    exit_code: int
    """0 ready, 10 software only, 11 broken set-up."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """DMA memory of one process that compresses (sender) or decompresses (receiver) with QATzip."""

    role: str
    low_mib: int
    """MiB if all channels use one instance in turn."""
    high_mib: int
    """MiB if every channel uses its own instance, as far as there are instances."""
    memlock_mib: int | None
    """Locked memory that the process should be allowed; None if a kernel driver hands the
    memory out, which is charged to nobody."""
    huge_pages: int
    """Number of pages of 2 MiB, if the memory is taken from huge pages."""


@dataclass(frozen=True, slots=True)
class DocumentedNeed:
    """One cell of the table in QEMU's documentation, and the formula's result beside it."""

    role: str
    channels: int
    documented_mib: int
    computed_mib: int
    equal: bool


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """All that ``ramferry plan memory`` says."""

    channels: int
    vfs: int
    instances: int
    """Number of instances that the process opens, over all its VFs."""
    hw_buff_sz: int
    """Bytes."""
    family: str
    needs: tuple[MemoryNeed, ...]
    documented: tuple[DocumentedNeed, ...]
    estimates: tuple[str, ...]
    """Why the figures are estimates; empty if the formula covers the case."""
    settings: tuple[tuple[str, tuple[str, ...]], ...]
    """Heading and lines of each setting to make."""


@dataclass(frozen=True, slots=True)
class MethodRule:
    """One rule of the choice of a method, and its outcome."""

    rule: str
    applies: bool
    evidence: str
    conclusion: str
    """What follows if it applies: "qatzip in hardware at level 1"; empty if it does not."""


@dataclass(frozen=True, slots=True)
class MethodAdvice:
    """All that ``ramferry plan method`` says."""

    method: str
    """A value of multifd-compression."""
    level: int | None
    runs_in: str
    """ "hardware", "software", or "" if nothing is compressed."""
    sentence: str
    """ "qatzip in hardware at level 1"."""
    rules: tuple[MethodRule, ...]
    """In the order they were asked; the last is the one that decided."""
