"""Findings about the QEMUs of this host: what they have built in, and what that leads to."""

from __future__ import annotations

from collections.abc import Sequence

from ramferry.hardware.diagnosis.make import ok, warning
from ramferry.metrics.host import Evidence, Finding, QemuBuilt, Standing


def judge_qemus(
    qemus: Sequence[QemuBuilt] | None, qatzip: Standing, qpl: Standing
) -> list[Finding]:
    """One finding for each QEMU; a warning where it would compress in software without a word."""
    return [_judge(qemu, qatzip, qpl) for qemu in qemus or ()]


def _judge(qemu: QemuBuilt, qatzip: Standing, qpl: Standing) -> Finding:
    name = qemu.path.rpartition("/")[2]
    if qemu.trouble:
        sentence = "it could not be asked what it has built in"
        return warning("qemu-methods", name, sentence, Evidence(qemu.path, trouble=qemu.trouble))
    evidence = Evidence(qemu.path, "multifd-compression: " + ", ".join(qemu.methods))
    lacking = [
        method
        for method, standing in (("qatzip", qatzip), ("qpl", qpl))
        if method in qemu.methods and standing in (Standing.ABSENT, Standing.BROKEN)
    ]
    if lacking:
        sentence = (
            f"it has {' and '.join(lacking)} built in, whose libraries fall back to slow software"
            " without saying so: with no device ready, let a relay compress"
        )
        return warning("qemu-methods", name, sentence, evidence)
    built = [method for method in ("qatzip", "qpl") if method in qemu.methods]
    has = f"it has {' and '.join(built)} built in" if built else "it has neither qatzip nor qpl"
    return ok("qemu-methods", name, has, evidence)
