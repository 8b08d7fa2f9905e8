"""The proof of offload: what its record means, when it is asked for, how counters are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes_sysroot import TREES
from ramferry.hardware.diagnosis import diagnose
from ramferry.hardware.diagnosis.offload import judge_offload
from ramferry.hardware.facts import discover
from ramferry.hardware.firmware import firmware_requests
from ramferry.hardware.identity import named
from ramferry.hardware.root import Root
from ramferry.metrics.evidence import OffloadProof
from ramferry.metrics.host import DoctorReport, Standing
from ramferry.qatzip.proof import proof_of

BY_DEVICE = proof_of((0, 0), 100, 102)
BY_SOFTWARE = proof_of((4,), 100, 100)
FAILED = proof_of((), trouble="qzInit returned -103 (no instance attached)")


@pytest.mark.parametrize(
    ("proof", "verdict", "words"),
    [
        (BY_DEVICE, "ok", "the device compressed and inflated 128 KiB at level 1"),
        (proof_of((0, 0)), "ok", "by the shape of its output"),
        (proof_of((0, 0), 9, 9), "warning", "counted no request"),
        (BY_SOFTWARE, "problem", "in software"),
        (proof_of((0, 4), 9, 10), "problem", "in software"),
        (proof_of((0,), 9, 10), "problem", "in software"),
        (proof_of(()), "problem", "in software"),
        (FAILED, "problem", "failed: qzInit returned -103"),
    ],
)
def test_what_a_proof_shows(proof: OffloadProof, verdict: str, words: str) -> None:
    finding = judge_offload(proof)
    assert (finding.check, str(finding.verdict)) == ("qat-offload", verdict)
    assert words in finding.sentence


def test_the_evidence_is_shape_and_counters() -> None:
    shape, counters = judge_offload(BY_DEVICE).evidence
    assert shape.content == "2 members, XFL 0, 0"
    assert counters.content == "100 requests before, 102 after"


def proven(tree: str, proof: OffloadProof, path: Path) -> tuple[DoctorReport, int]:
    TREES[tree](path)
    root = Root(str(path))
    asked = []

    def prove() -> OffloadProof:
        asked.append(1)
        return proof

    return diagnose(discover(root, named(root, "alice")), prove=prove), len(asked)


@pytest.mark.parametrize(
    ("tree", "proof", "standing", "code"),
    [
        ("a", BY_DEVICE, Standing.READY, 0),
        ("a", BY_SOFTWARE, Standing.BROKEN, 11),
        ("a", FAILED, Standing.BROKEN, 11),
        ("c", BY_DEVICE, Standing.READY, 0),
        ("c", FAILED, Standing.BROKEN, 11),
    ],
)
def test_a_proof_decides(
    tree: str, proof: OffloadProof, standing: Standing, code: int, tmp_path: Path
) -> None:
    report, asked = proven(tree, proof, tmp_path)
    assert (report.qatzip.standing, report.exit_code, asked) == (standing, code, 1)


def test_without_a_device_nothing_is_proven(tmp_path: Path) -> None:
    report, asked = proven("g", FAILED, tmp_path)
    assert (report.exit_code, asked) == (10, 0)


TABLE = """AE          Requests        Responses
 0:                5                5
 1:              102              100
"""


def test_firmware_counters_are_summed_by_device(tmp_path: Path) -> None:
    tree = TREES["a"](tmp_path)
    tree.file("/sys/kernel/debug/qat_4xxx_0000:6b:00.0/fw_counters", TABLE)
    tree.file("/sys/kernel/debug/qat_4xxx_0000:70:00.0/fw_counters", "junk: 1\n 0: x 2\n")
    tree.folder("/sys/kernel/debug/qat_4xxx_0000:75:00.0")
    assert firmware_requests(Root(str(tmp_path))) == {
        "qat_4xxx_0000:6b:00.0": 107,
        "qat_4xxx_0000:70:00.0": 0,
    }
