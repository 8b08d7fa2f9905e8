"""QATzip, QPL or software: each rule, and the facts that lead to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnosing import report_of
from fakes_sysroot import TREES, Sysroot, iaa
from ramferry.hardware.facts import discover
from ramferry.hardware.identity import named
from ramferry.hardware.method import GBIT, MethodQuestion, advise, question_of
from ramferry.hardware.root import Root
from ramferry.metrics.host import MethodAdvice


def ask(
    qat: int = 0, iaa: int = 0, svm: bool = False, gbit: float | None = 10, cpus: int = 8
) -> MethodAdvice:
    bandwidth = None if gbit is None else gbit * GBIT
    return advise(MethodQuestion(qat, iaa, svm, bandwidth, cpus))


def decided(advice: MethodAdvice) -> str:
    assert [rule.applies for rule in advice.rules] == [False] * (len(advice.rules) - 1) + [True]
    assert advice.rules[-1].conclusion == advice.sentence
    return advice.rules[-1].rule.partition(":")[0]


@pytest.mark.parametrize(
    ("qat", "iaa", "svm", "gbit", "rule", "sentence"),
    [
        (4, 2, True, 10, "QEMU 1", "qatzip in hardware at level 1"),
        (1, 0, False, None, "QEMU 1", "qatzip in hardware at level 1"),
        (4, 2, True, 25, "QEMU 1", "qatzip in hardware at level 1"),
        (2, 2, False, 10, "QEMU 2", "qatzip in hardware at level 1"),
        (1, 4, False, 10, "QEMU 2", "qatzip in hardware at level 1"),
        (2, 2, True, 10, "QEMU 3", "qpl in hardware"),
        (0, 1, True, None, "QEMU 3", "qpl in hardware"),
        (0, 1, False, 10, "no accelerator", "qatzip in software at level 1"),
    ],
)
def test_qemus_rules(
    qat: int, iaa: int, svm: bool, gbit: float | None, rule: str, sentence: str
) -> None:
    advice = ask(qat, iaa, svm, gbit)
    assert (decided(advice), advice.sentence) == (rule, sentence)


@pytest.mark.parametrize(("qat", "iaa", "svm"), [(0, 0, False), (4, 0, False), (4, 4, True)])
def test_above_25_gbit_nothing_is_compressed(qat: int, iaa: int, svm: bool) -> None:
    advice = ask(qat, iaa, svm, gbit=25.1)
    assert decided(advice).startswith("a link above 25 Gbit/s")
    assert (advice.method, advice.level, advice.runs_in) == ("none", None, "")
    assert "27.9 Gbit/s" in advice.rules[-1].evidence


@pytest.mark.parametrize(
    ("gbit", "cpus", "sentence"),
    [
        (1, 8, "zstd in software at level 3"),
        (5, 8, "zstd in software at level 1"),
        (10, 8, "qatzip in software at level 1"),
        (10, 2, "none"),
        (None, 2, "zstd in software at level 3"),
    ],
)
def test_software_by_link_and_cpus(gbit: float | None, cpus: int, sentence: str) -> None:
    assert ask(gbit=gbit, cpus=cpus).sentence == sentence


def test_the_evidence_of_software_names_what_each_method_carries() -> None:
    evidence = ask(gbit=10, cpus=2).rules[-1].evidence
    assert "link: 10 Gbit/s (--bandwidth); 2 CPUs (--cpus)" in evidence
    assert "none 1250 MB/s, qatzip in software at level 1 1100 MB/s" in evidence


def discovered(root: Sysroot) -> MethodQuestion:
    report = report_of(root)
    found = Root(str(root.path))
    return question_of(discover(found, named(found, "alice")), report.qatzip, report.qpl)


@pytest.mark.parametrize(
    ("tree", "qat", "iaa_devices", "svm", "method"),
    [
        ("a", 1, 0, False, "qatzip"),
        ("b", 0, 0, False, "zstd"),
        ("c", 2, 0, False, "qatzip"),
        ("d", 3, 0, False, "qatzip"),
        ("e", 0, 1, True, "qpl"),
        ("f", 0, 0, False, "zstd"),
        ("g", 0, 0, False, "zstd"),
    ],
)
def test_the_trees_lead_to_their_methods(
    tree: str, qat: int, iaa_devices: int, svm: bool, method: str, tmp_path: Path
) -> None:
    question = discovered(TREES[tree](tmp_path))
    assert (question.qat, question.iaa, question.svm) == (qat, iaa_devices, svm)
    assert (question.bandwidth, question.cpus) == (None, 16)
    assert advise(question).method == method


def test_as_many_qat_as_iaa_with_svm_is_for_qpl(tmp_path: Path) -> None:
    root = TREES["a"](tmp_path)
    iaa(root)
    question = discovered(root)
    assert (question.qat, question.iaa, question.svm) == (1, 1, True)
    assert advise(question).method == "qpl"


def test_the_fastest_link_that_is_up_is_the_migrations(tmp_path: Path) -> None:
    root = TREES["g"](tmp_path)
    for name, state, speed in (
        ("eth0", "up", "1000"),
        ("eth1", "up", "25000"),
        ("eth2", "down", "100000"),
        ("veth", "up", "-1"),
        ("lo", "unknown", "up"),
    ):
        root.file(f"/sys/class/net/{name}/operstate", f"{state}\n")
        root.file(f"/sys/class/net/{name}/speed", f"{speed}\n")
    question = discovered(root)
    assert question.bandwidth == 25 * GBIT
    assert question.bandwidth_from == "/sys/class/net/eth1/speed: 25000"
