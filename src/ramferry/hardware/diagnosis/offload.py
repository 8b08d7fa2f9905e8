"""The proof that work reaches the device: what came out of the library, and the firmware counters.

libqatzip falls back to software without a word, so that only its output tells: hardware writes a
member for each 64 KiB with XFL 0; its software path, at level 1, one member for all with XFL 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ramferry.hardware.diagnosis.make import ok, problem, warning
from ramferry.hardware.root import Root, natural
from ramferry.metrics.host import Evidence, Finding, OffloadProof

Prove = Callable[[], OffloadProof]
"""Has ``PROOF_BYTES`` compressed at ``PROOF_LEVEL`` and inflated through libqatzip; where a device
is found only.
Made by the layer that holds libqatzip; ``firmware_requests`` is for its use before and after."""

PROOF_BYTES: Final = 128 * 1024
PROOF_LEVEL: Final = 1
MEMBER_BYTES: Final = 64 * 1024
HARDWARE_XFL: Final = 0

DEBUG: Final = "/sys/kernel/debug"


def firmware_requests(root: Root) -> Mapping[str, int]:
    """Requests that each in-tree device's firmware has taken so far, by its debugfs directory.

    Empty where none can be read: only root may, and only while a device is up. The format is the
    kernel's ``adf_fw_counters.c``: a line for each engine, "<engine>: <requests> <responses>".
    """
    folders = [name for name in root.names(DEBUG) if name.startswith("qat_")]
    tables = {name: root.read(f"{DEBUG}/{name}/fw_counters") for name in folders}
    return {name: _requests(text.content) for name, text in tables.items() if text.content}


def _requests(table: str) -> int:
    rows = [line.replace(":", " ").split() for line in table.splitlines()]
    return sum(
        natural(row[1]) or 0 for row in rows if len(row) == 3 and natural(row[0]) is not None
    )


def judge_offload(proof: OffloadProof) -> Finding:
    """Whether hardware did it, by both signs; a warning where they disagree."""
    size = f"{proof.input_bytes // 1024} KiB at level {proof.level}"
    if proof.trouble:
        sentence = f"a test of {size} through QATzip failed: {proof.trouble}"
        return problem("qat-offload", "QAT", sentence, *_counters(proof))
    members = -(-proof.input_bytes // MEMBER_BYTES)
    shape = Evidence(f"output of {size}", _shape(proof.member_xfl))
    evidence = (shape, *_counters(proof))
    by_shape = proof.member_xfl == (HARDWARE_XFL,) * members
    if not by_shape:
        sentence = f"QATzip compressed {size} in software: the device did not do it"
        return problem("qat-offload", "QAT", sentence, *evidence)
    if proof.requests_before is None or proof.requests_after is None:
        sentence = f"the device compressed and inflated {size}, by the shape of its output"
        return ok("qat-offload", "QAT", sentence, *evidence)
    if proof.requests_after <= proof.requests_before:
        sentence = f"{size} look compressed by the device, but its firmware counted no request"
        return warning("qat-offload", "QAT", sentence, *evidence)
    return ok("qat-offload", "QAT", f"the device compressed and inflated {size}", *evidence)


def _shape(xfl: Sequence[int]) -> str:
    flags = ", ".join(map(str, xfl))
    return f"{len(xfl)} member{'' if len(xfl) == 1 else 's'}, XFL {flags}"


def _counters(proof: OffloadProof) -> tuple[Evidence, ...]:
    if proof.requests_before is None or proof.requests_after is None:
        return ()
    content = f"{proof.requests_before} requests before, {proof.requests_after} after"
    return (Evidence(f"{DEBUG}/qat_*/fw_counters", content),)
