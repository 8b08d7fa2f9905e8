"""``ramferry doctor`` and ``ramferry plan``: exit codes, JSON, one sentence for bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes_sysroot import PF, PF_PATH, TREES
from ramferry.cli import main
from ramferry.cli.runs import doctor
from ramferry.hardware.diagnosis import Prove, diagnose
from ramferry.hardware.facts import HostFacts
from ramferry.metrics.host import DoctorReport, QemuBuilt
from ramferry.qatzip.proof import prove
from standins import StandIn

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ramferry(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line; returns exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ramferry", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert isinstance(stop.value.code, int)
        return stop.value.code, *capsys.readouterr()

    return run


def of_json(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    assert document["version"] == 5
    assert list(document)[:3] == ["format", "version", "ramferry"]
    return document


@pytest.mark.parametrize(
    ("tree", "code"), [("a", 0), ("b", 11), ("c", 10), ("d", 0), ("e", 0), ("f", 11), ("g", 10)]
)
def test_exit_codes_of_the_trees(ramferry: Run, tmp_path: Path, tree: str, code: int) -> None:
    TREES[tree](tmp_path)
    arguments = ("doctor", "--sysroot", str(tmp_path), "--user", "alice")
    ended, text, errors = ramferry(*arguments)
    assert (ended, errors) == (code, "")
    assert "\nQATzip in hardware  " in text
    ended, text, _ = ramferry(*arguments, "--json", "-")
    document = of_json(text)
    assert (ended, document["exit_code"]) == (code, code)
    assert document["user"] == "alice"
    assert document["qemus"] is None


def test_json_has_evidence_verdict_and_commands(ramferry: Run, tmp_path: Path) -> None:
    TREES["b"](tmp_path)
    _, text, _ = ramferry("doctor", "--sysroot", str(tmp_path), "--json", "-")
    [finding] = [f for f in of_json(text)["findings"] if f["check"] == "qat-services"]
    assert finding["subject"] == PF
    assert finding["verdict"] == "problem"
    assert finding["evidence"] == [
        {"path": f"{PF_PATH}/qat/cfg_services", "content": "sym;asym", "trouble": ""}
    ]
    assert finding["commands"][1] == f"echo dc | sudo tee {PF_PATH}/qat/cfg_services"


def test_this_hosts_qemus_are_those_on_the_path(
    ramferry: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    binary = tmp_path / "qemu-system-x86_64"
    binary.write_text("#!/bin/sh\necho 'no such option' >&2\nexit 1\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    code, text, _ = ramferry("doctor", "--json", "-")
    assert code in (0, 10, 11)
    assert of_json(text)["qemus"] == [
        {"path": str(binary), "version": "", "methods": [], "trouble": "no such option"}
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("doctor", "--sysroot", "/nowhere/at/all"),
        ("doctor", "--sysroot", __file__),
        ("doctor", "--user", "nobody-of-this-name"),
        ("plan", "method", "--sysroot", "/nowhere/at/all"),
        ("plan", "method", "--bandwidth", "0"),
        ("plan", "memory", "--hw-buff-sz", "65537"),
        ("plan", "memory", "--qatzip", "new"),
    ],
)
def test_bad_input_is_one_sentence_and_a_usage_error(
    ramferry: Run, arguments: tuple[str, ...]
) -> None:
    code, text, errors = ramferry(*arguments)
    assert (code, text) == (2, "")
    assert errors.startswith("ramferry: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "memory", "--channels", "0"),
        ("plan", "memory", "--channels", "256"),
        ("plan", "memory", "--device", "9xxx"),
        ("plan", "memory", "--role", "bystander"),
        ("plan", "method", "--qat", "-1"),
        ("plan", "method", "--bandwidth", "fast"),
    ],
)
def test_values_out_of_range_are_usage_errors(ramferry: Run, arguments: tuple[str, ...]) -> None:
    code, _, errors = ramferry(*arguments)
    assert code == 2
    assert "Error: Invalid value" in errors


def test_plan_memory_counts_four_instances_a_vf(ramferry: Run) -> None:
    for arguments, vfs, instances in (
        ((), 1, 4),
        (("--vfs", "2"), 2, 8),
        (("--instances", "6"), 2, 6),
        (("--vfs", "3", "--instances", "6"), 3, 6),
    ):
        code, text, _ = ramferry("plan", "memory", "--json", "-", *arguments)
        document = of_json(text)
        assert (code, document["vfs"], document["instances"]) == (0, vfs, instances)


def test_plan_memory_for_one_role(ramferry: Run) -> None:
    _, text, _ = ramferry("plan", "memory", "--role", "receiver", "--channels", "4", "--json", "-")
    document = of_json(text)
    assert [(need["role"], need["low_mib"]) for need in document["needs"]] == [("receiver", 14)]
    assert all(cell["equal"] for cell in document["documented"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "qatzip in hardware at level 1"),
        (("--iaa", "1", "--svm"), "qpl in hardware"),
        (("--iaa", "1", "--no-svm"), "qatzip in hardware at level 1"),
        (("--qat", "0", "--bandwidth", "1Gbit"), "zstd in software at level 3"),
        (("--qat", "0", "--bandwidth", "10Gbit", "--cpus", "8"), "qatzip in software at level 1"),
        (("--bandwidth", "40Gbit"), "none"),
    ],
)
def test_plan_method_from_what_is_there_and_what_is_given(
    ramferry: Run, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    TREES["a"](tmp_path)
    # the user who runs the tests may own the nodes, or be root: either may open them
    code, text, _ = ramferry("plan", "method", "--sysroot", str(tmp_path), "--json", "-", *options)
    assert (code, of_json(text)["sentence"]) == (0, sentence)


def test_plan_method_says_what_was_given_and_what_was_found(ramferry: Run, tmp_path: Path) -> None:
    TREES["a"](tmp_path)
    _, text, _ = ramferry("plan", "method", "--sysroot", str(tmp_path), "--iaa", "3", "--no-svm")
    assert "SVM: no (--no-svm); 1 QAT (0000:6b:00.0: ready), 3 IAA (--iaa)" in text
    assert text.endswith("--method qatzip --level 1\n")


def test_only_this_host_and_this_user_are_proven(
    ramferry: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Prove | None] = []

    def recorded(
        facts: HostFacts, qemus: tuple[QemuBuilt, ...] | None, proof: Prove | None
    ) -> DoctorReport:
        asked.append(proof)
        return diagnose(facts, qemus)

    monkeypatch.setattr(doctor, "diagnose", recorded)
    TREES["a"](tmp_path)
    ramferry("doctor")
    ramferry("doctor", "--user", "root")
    ramferry("doctor", "--sysroot", str(tmp_path))
    assert asked == [prove, None, None]


@pytest.mark.parametrize(
    ("faults", "code", "words"),
    [
        ({}, 0, "the device compressed and inflated 128 KiB at level 1"),
        ({"setup_code": -103}, 11, "qzSetupSessionDeflate returned -103 (no instance"),
        ({"software": 1}, 11, "QATzip compressed 128 KiB at level 1 in software"),
    ],
)
def test_a_job_is_the_last_word(
    tmp_path: Path, faults: dict[str, int], code: int, words: str
) -> None:
    standin = StandIn(tmp_path)
    standin.set(**faults)
    TREES["a"](tmp_path)
    _, facts = doctor.facts_of(str(tmp_path), "alice")
    report = diagnose(facts, None, lambda: prove(lambda: standin.library))
    assert report.exit_code == code
    assert words in report.qatzip.sentence
