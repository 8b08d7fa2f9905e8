"""Trees a to g: every finding of each, the conclusions, the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnosing import report_of
from fakes_sysroot import GEN2, PF, TREES
from ramferry.metrics.host import Standing

IN_TREE = [
    ("QAT", "qat-stack", "ok"),
    ("QAT", "qat-libqatzip", "ok"),
    ("QAT", "qat-libqat", "ok"),
]
LIMITS = [("QAT", "qat-memlock", "ok"), ("QAT", "qat-huge-pages", "ok")]
NO_QAT = [("QAT", "qat-device", "ok")]
NO_IAA = [("IAA", "iaa-device", "ok")]


def in_tree(services: str, settings: str) -> list[tuple[str, str, str]]:
    return [
        (PF, "qat-driver", "ok"),
        (PF, "qat-state", "ok"),
        (PF, "qat-services", services),
        (PF, "qat-vfs", "ok"),
        (PF, "qat-vf-driver", "ok"),
        (PF, "qat-vf-node", "ok"),
        *IN_TREE,
        ("QAT", "qat-manager", "ok"),
        ("QAT", "qat-settings", settings),
        *LIMITS,
        *NO_IAA,
    ]


GUEST = [
    ("VFs", "qat-vf-only", "warning"),
    ("VFs", "qat-vf-driver", "ok"),
    ("VFs", "qat-vf-node", "ok"),
    *IN_TREE,
    *LIMITS,
    *NO_IAA,
]
OUT_OF_TREE = [
    *((pf, check, "ok") for pf in GEN2 for check in ("qat-driver", "qat-config")),
    ("QAT", "qat-stack", "ok"),
    ("QAT", "qat-usdm", "ok"),
    ("QAT", "qat-node", "ok"),
    ("QAT", "qat-libqatzip", "ok"),
    ("QAT", "qat-libqat", "ok"),
    ("QAT", "qat-memory", "ok"),
    *NO_IAA,
]
QPL_READY = [
    *NO_QAT,
    ("0000:6a:02.0", "iaa-driver", "ok"),
    ("IAA", "iaa-svm", "ok"),
    ("iax1", "iaa-queue", "ok"),
    ("iax1", "iaa-node", "ok"),
]
NO_SVM = [
    *NO_QAT,
    ("0000:6a:02.0", "iaa-driver", "ok"),
    ("IAA", "iaa-svm", "problem"),
    ("iax1", "iaa-queue", "problem"),
]

EXPECTED = {
    "a": (in_tree("ok", "ok"), Standing.READY, Standing.ABSENT, 0),
    "b": (in_tree("problem", "warning"), Standing.BROKEN, Standing.ABSENT, 11),
    "c": (GUEST, Standing.UNPROVEN, Standing.ABSENT, 10),
    "d": (OUT_OF_TREE, Standing.READY, Standing.ABSENT, 0),
    "e": (QPL_READY, Standing.ABSENT, Standing.READY, 0),
    "f": (NO_SVM, Standing.ABSENT, Standing.BROKEN, 11),
    "g": ([*NO_QAT, *NO_IAA], Standing.ABSENT, Standing.ABSENT, 10),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_finding_and_conclusion_of_a_tree(name: str, tmp_path: Path) -> None:
    root = TREES[name](tmp_path)
    report = report_of(root)
    findings, qatzip, qpl, code = EXPECTED[name]
    assert [(f.subject, f.check, str(f.verdict)) for f in report.findings] == findings
    assert (report.qatzip.standing, report.qpl.standing, report.exit_code) == (qatzip, qpl, code)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_finding_shows_evidence_and_every_problem_can_be_acted_on(
    name: str, tmp_path: Path
) -> None:
    root = TREES[name](tmp_path)
    for finding in report_of(root).findings:
        assert finding.evidence, finding
        assert finding.sentence[0] not in " .", finding
        if finding.verdict == "problem":
            assert finding.commands, finding


def test_a_gen4_vf_with_dc_alone_brings_four_instances(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    found = {f.check: f for f in report_of(root).findings}
    assert found["qat-services"].sentence.endswith("each VF brings 4 compression instances")


def test_the_services_are_mended_down_written_up_restarted(tmp_path: Path) -> None:
    root = TREES["b"](tmp_path)
    qat = f"/sys/bus/pci/devices/{PF}/qat"
    found = {f.check: f for f in report_of(root).findings}
    assert found["qat-services"].commands == (
        f"echo down | sudo tee {qat}/state",
        f"echo dc | sudo tee {qat}/cfg_services",
        f"echo up | sudo tee {qat}/state",
        "sudo systemctl restart qat",
    )


def test_the_memory_of_c62x_counts_its_twenty_intermediate_buffers(tmp_path: Path) -> None:
    root = TREES["d"](tmp_path)
    found = {f.check: f for f in report_of(root).findings}
    assert "6 instances of C62x, each with 20 intermediate" in found["qat-memory"].sentence
    # 2·ceil((593·6 + (4577+2620)·U + 1536·8)/2043), U = 1 and 6, 4 MiB to spare
    assert "24 to 62 MiB, by estimate" in found["qat-memory"].sentence


def test_secrets_on_the_kernel_command_line_are_not_shown(tmp_path: Path) -> None:
    root = TREES["f"](tmp_path)
    root.file("/proc/cmdline", "password=hunter2 intel_iommu=on\n")
    report = report_of(root)
    shown = [e.content for f in report.findings for e in f.evidence if e.path == "/proc/cmdline"]
    assert shown == ["intel_iommu=on"]
    assert "hunter2" not in str(report)
