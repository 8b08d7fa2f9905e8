"""What the proof of offload means, in words: ``qatzip.proof`` does the job and judges it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ramferry.hardware.diagnosis.make import ok, problem, warning
from ramferry.hardware.firmware import DEBUG
from ramferry.metrics.evidence import Evidence, Offload, OffloadProof
from ramferry.metrics.host import Finding

Prove = Callable[[], OffloadProof]
"""Has a test job done through libqatzip; called only if a device is found. ``qatzip.proof.prove``
is one."""


def judge_offload(proof: OffloadProof) -> Finding:
    """Say who did the job; a warning if the signs disagree."""
    size = f"{proof.input_bytes // 1024} KiB at level {proof.level}"
    counters = _counters(proof)
    if proof.verdict is Offload.FAILED:
        sentence = f"a test of {size} through QATzip failed: {proof.trouble}"
        return problem("qat-offload", "QAT", sentence, *counters)
    evidence = (Evidence(f"output of {size}", _shape(proof.member_xfl)), *counters)
    if proof.verdict is Offload.SOFTWARE:
        return problem("qat-offload", "QAT", proof.trouble, *evidence)
    if proof.verdict is Offload.UNCOUNTED:
        return warning("qat-offload", "QAT", proof.trouble, *evidence)
    sentence = f"the device compressed and inflated {size}"
    if not counters:
        sentence += ", by the shape of its output"
    return ok("qat-offload", "QAT", sentence, *evidence)


def _shape(xfl: Sequence[int]) -> str:
    flags = ", ".join(map(str, xfl))
    return f"{len(xfl)} member{'' if len(xfl) == 1 else 's'}, XFL {flags}"


def _counters(proof: OffloadProof) -> tuple[Evidence, ...]:
    if proof.requests_before is None or proof.requests_after is None:
        return ()
    content = f"{proof.requests_before} requests before, {proof.requests_after} after"
    return (Evidence(f"{DEBUG}/qat_*/fw_counters", content),)
