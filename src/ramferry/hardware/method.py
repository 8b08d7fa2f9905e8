"""QATzip, QPL, or software: a choice that can be followed, rule by rule.

The three rules for two accelerators are those of QEMU's
``docs/devel/migration/qatzip-compression.rst``; around them stand a link too fast for any published
compression, and a host with no accelerator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ramferry.hardware.diagnosis.virtual import ORPHANS
from ramferry.hardware.facts import HostFacts, count_list
from ramferry.hardware.root import number
from ramferry.metrics.host import Conclusion, Evidence, MethodAdvice, MethodRule, Standing

GBIT: Final = 125e6
"""Bytes."""

UNCOMPRESSED_ABOVE: Final = 25 * GBIT
"""Bytes/s of a link that carries about what compression was ever published to feed it with."""

PUBLISHED: Final = (
    "published: 27.9 Gbit/s of guest memory with 4 QAT devices and 8 channels (QEMU's QATzip"
    " document), 28 Gbit/s with one IAA and 4 channels (QEMU commit f6fe9fea99)"
)


@dataclass(frozen=True, slots=True)
class Software:
    """A method in software, on one CPU."""

    method: str
    level: int
    speed: float
    """Bytes of guest memory a second of CPU time."""
    ratio: float


SOFTWARE: Final = (
    Software("qatzip", 1, 550e6, 3.38),
    Software("zstd", 1, 460e6, 3.88),
    Software("zstd", 3, 270e6, 4.24),
)
"""Measured on an AMD EPYC at 2 CPUs, best of 7: 82 MB of the Silesia corpus (dickens, mr, nci,
ooffice, osdb, reymont, xml) in packets of 512 KiB; qatzip by ISA-L's own level 1 in members of 64
KiB, zstd as one stream flushed at each packet. Only their relation decides. ``qatzip.software`` and
``codec.zstd`` say what both compress with today and what that gains."""


@dataclass(frozen=True, slots=True)
class MethodQuestion:
    """The facts that decide, each with where it is known from."""

    qat: int
    """QAT devices that can be used."""
    iaa: int
    svm: bool
    bandwidth: float | None
    """Of the migration's link, in bytes/s; None if not known, in which case the link is taken to be
    the limit."""
    cpus: int
    """CPUs that compression may use."""
    qat_from: str = "--qat"
    iaa_from: str = "--iaa"
    svm_from: str = "--svm"
    bandwidth_from: str = "--bandwidth"
    cpus_from: str = "--cpus"


def question_of(facts: HostFacts, qatzip: Conclusion, qpl: Conclusion) -> MethodQuestion:
    """What was discovered: devices that are ready, the fastest link that is up, all CPUs."""
    link = max(facts.links, key=lambda speed: number(speed) or 0, default=None)
    devices = facts.iaa.devices
    return MethodQuestion(
        qat=_usable_qat(facts, qatzip),
        iaa=len(qpl.devices),
        svm=any(device.svm for device in devices),
        bandwidth=(number(link) or 0) * 1e6 / 8 if link else None,
        cpus=max(1, count_list(facts.cpus.content)),
        qat_from=_from(qatzip),
        iaa_from=_from(qpl),
        svm_from=_shown(devices[0].pasid_enabled) if devices else "no IAA device to share with",
        bandwidth_from=_shown(link) if link else "no link tells its speed",
        cpus_from=_shown(facts.cpus),
    )


def _from(conclusion: Conclusion) -> str:
    if conclusion.standing is Standing.ABSENT:
        return "none is here"
    if conclusion.standing is Standing.BROKEN:
        return "what is here is not ready, see `ramferry doctor`"
    return f"{', '.join(conclusion.devices)}: {conclusion.standing}"


def _usable_qat(facts: HostFacts, qatzip: Conclusion) -> int:
    """How many QAT devices can be used: PFs, and VFs whose PF this host does not see, as in a
    guest."""
    if qatzip.standing not in (Standing.READY, Standing.UNPROVEN):
        return 0
    orphans = len(facts.orphans) if ORPHANS in qatzip.devices else 0
    return len([name for name in qatzip.devices if name != ORPHANS]) + orphans


@dataclass(frozen=True, slots=True)
class Choice:
    """A method, and where it runs."""

    method: str
    level: int | None = None
    runs_in: str = ""
    """ "hardware", "software", or "" where nothing is compressed."""

    def __str__(self) -> str:
        level = "" if self.level is None else f" at level {self.level}"
        return self.method + (f" in {self.runs_in}" if self.runs_in else "") + level


UNCOMPRESSED: Final = Choice("none")
QATZIP: Final = Choice("qatzip", 1, "hardware")
QPL: Final = Choice("qpl", None, "hardware")

Ruling = tuple[str, str, Choice | None]
"""A rule, the evidence, and what follows; None if the rule does not apply."""


def advise(question: MethodQuestion) -> MethodAdvice:
    """Ask the rules in their order; the first that applies decides."""
    rules = []
    for ask in _RULES:
        rule, evidence, choice = ask(question)
        rules.append(MethodRule(rule, choice is not None, evidence, str(choice or "")))
        if choice:
            break
    assert choice  # the last rule always applies
    return MethodAdvice(choice.method, choice.level, choice.runs_in, str(choice), tuple(rules))


def guest_rate(software: Software, bandwidth: float | None, cpus: int) -> float:
    """Bytes/s of guest memory that a method carries: bounded by the link, and by the CPUs.

    If the link is not known, the method's ratio, by which it would multiply any link that limits.
    """
    if bandwidth is None:
        return software.ratio
    return min(bandwidth * software.ratio, cpus * software.speed)


def _too_fast(question: MethodQuestion) -> Ruling:
    rule = "a link above 25 Gbit/s carries more uncompressed than compression is known to feed"
    if (question.bandwidth or 0) <= UNCOMPRESSED_ABOVE:
        return rule, _link(question), None
    return rule, f"{_link(question)}; {PUBLISHED}", UNCOMPRESSED


def _more_qat(question: MethodQuestion) -> Ruling:
    rule = "QEMU 1: limited by the link, and more QAT than IAA: qatzip"
    choice = QATZIP if question.qat > question.iaa else None
    return rule, f"{_link(question)}; {_devices(question)}", choice


def _no_svm(question: MethodQuestion) -> Ruling:
    rule = "QEMU 2: no shared virtual memory (SVM), without which QPL is slow: qatzip"
    svm = f"SVM: {'yes' if question.svm else 'no'} ({question.svm_from})"
    choice = QATZIP if not question.svm and question.qat > 0 else None
    return rule, f"{svm}; {_devices(question)}", choice


def _otherwise_qpl(question: MethodQuestion) -> Ruling:
    rule = "QEMU 3: otherwise qpl"
    if not question.svm or not question.iaa:
        return rule, _devices(question) + ("" if question.svm else "; no SVM"), None
    advice = "boot the destination with its memory preallocated, to spare page faults"
    return rule, f"{_devices(question)}; {advice}", QPL


def _no_accelerator(question: MethodQuestion) -> Ruling:
    """Software, unless the link carries more than the CPUs can compress."""
    rule = "no accelerator: what carries most guest memory over this link with these CPUs"
    rates = {
        Choice(software.method, software.level, "software"): guest_rate(
            software, question.bandwidth, question.cpus
        )
        for software in SOFTWARE
    }
    if question.bandwidth is None:
        shown = [f"{choice} {rate:.2f}:1" for choice, rate in rates.items()]
    else:
        rates = {UNCOMPRESSED: question.bandwidth, **rates}
        shown = [f"{choice} {rate / 1e6:.0f} MB/s" for choice, rate in rates.items()]
    best = max(rates, key=lambda choice: rates[choice])
    cpus = f"{question.cpus} CPU{'' if question.cpus == 1 else 's'} ({question.cpus_from})"
    return rule, "; ".join((_link(question), cpus, ", ".join(shown))), best


_RULES: Final[tuple[Callable[[MethodQuestion], Ruling], ...]] = (
    _too_fast,
    _more_qat,
    _no_svm,
    _otherwise_qpl,
    _no_accelerator,
)


def _link(question: MethodQuestion) -> str:
    if question.bandwidth is None:
        return f"link: not known, taken as the limit ({question.bandwidth_from})"
    return f"link: {question.bandwidth / GBIT:.4g} Gbit/s ({question.bandwidth_from})"


def _devices(question: MethodQuestion) -> str:
    return f"{question.qat} QAT ({question.qat_from}), {question.iaa} IAA ({question.iaa_from})"


def _shown(evidence: Evidence) -> str:
    return f"{evidence.path}: {evidence.content or evidence.trouble or 'not there'}"
