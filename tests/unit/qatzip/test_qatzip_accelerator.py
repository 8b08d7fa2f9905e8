"""Which backend a session gets, in processes that find stand-ins for the libraries, or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ramferry.errors import MethodUnavailable, UsageError
from ramferry.hardware.root import Root
from ramferry.metrics.evidence import Offload
from ramferry.qatzip import Session, accelerator
from ramferry.qatzip.library import Library
from ramferry.qatzip.proof import PROOF_BYTES, prove
from standins import StandIn, built, run_with_device

ASK = """
import json
from ramferry.errors import RamferryError
from ramferry.qatzip import Session
said = {}
for policy in ("auto", "require", "off"):
    try:
        session = Session(accelerator=policy)
        backend = session.compress(bytes(524288)).backend
        said[policy] = [backend, session.why]
    except RamferryError as error:
        said[policy] = [error.exit_code, str(error)]
print(json.dumps(said))
"""
NO_DEVICE = "there is no QAT device that this process can see"


def ask(faults: str = "", *defines: str, device: bool = True) -> dict[str, list[object]]:
    """What sessions of each policy are, in a process with stand-ins."""
    done = run_with_device(ASK, faults, *defines, device=device)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, list[object]] = json.loads(done.stdout)
    assert found["off"] == ["isa-l", "QATzip works in software (isa-l): the accelerator is off"]
    return found


def test_a_proven_device_works() -> None:
    found = ask("chatter=1")
    assert found["auto"] == ["qat", "QATzip works in hardware: a device did a test job"]
    assert found["require"] == found["auto"]


@pytest.mark.parametrize(
    ("faults", "defines", "device", "why"),
    [
        ("", (), False, NO_DEVICE),
        ("init_code=-101", (), True, "qzInit returned -101 (no device, or none that this process"),
        ("setup_code=-103", (), True, "qzSetupSessionDeflate returned -103 (no instance"),
        ("setup_code=-104", (), True, "qzSetupSessionDeflate returned -104 (too little DMA"),
        ("call_code=-5", (), True, "qzCompress returned -5 (the device did not answer in time)"),
        ("lost_after=0,chatter=1", (), True, "qzCompress returned -101 (no device"),
        ("stat=11", (), True, "after qzCompress hw_session_stat is 11 (no device)"),
        ("software=1", (), True, "QATzip compressed 128 KiB at level 1 in software"),
        ("corrupt=1", (), True, "what came out does not inflate"),
        ("corrupt=2", (), True, "what came out does not inflate"),
        ("corrupt=3", (), True, "what came out does not inflate"),
        ("short=1", (), True, "qzCompress did 131071 of 131072 bytes"),
        ("short_out=1", (), True, "qzDecompress did 131071 of 131072 bytes"),
        ("corrupt_out=1", (), True, "the device inflates it to something else"),
        ("", ("OLD",), True, "libqatzip.so.3 is of QATzip 1.0.8 or older: install 1.1.2 or later"),
    ],
)
def test_what_is_not_proven_is_software_and_says_why(
    faults: str, defines: tuple[str, ...], device: bool, why: str
) -> None:
    found = ask(faults, *defines, device=device)
    engine, sentence = found["auto"]
    assert engine == "isa-l"
    assert str(sentence).startswith(f"QATzip works in software (isa-l): {why}")
    code, sentence = found["require"]
    assert code == MethodUnavailable.exit_code
    assert str(sentence).startswith(f"QATzip in hardware is required, but {why}")


def test_without_a_device_the_library_is_not_loaded() -> None:
    code = ASK + "assert 'libqatzip' not in open('/proc/self/maps').read()"
    assert run_with_device(code, device=False).returncode == 0
    assert run_with_device(code, device=True).returncode == 1


def test_with_the_accelerator_off_no_library_is_loaded() -> None:
    code = (
        "from ramferry.qatzip import Session; Session(accelerator='off').compress(b'')\n"
        "assert 'libqat' not in open('/proc/self/maps').read()"
    )
    done = run_with_device(code)
    assert (done.returncode, done.stderr) == (0, "")


SEEN = """
from ramferry.qatzip.accelerator import may_accelerate
print([may_accelerate(policy) for policy in ("auto", "require", "off")])
assert "libqatzip" not in open("/proc/self/maps").read()
"""


@pytest.mark.parametrize(("device", "seen"), [(True, True), (False, False)])
def test_a_device_is_seen_without_a_job(device: bool, seen: bool) -> None:
    done = run_with_device(SEEN, device=device)
    assert (done.stdout, done.stderr) == (f"[{seen}, True, False]\n", "")


def test_the_job_is_done_once_in_a_process() -> None:
    code = (
        "from ramferry.qatzip import Session, accelerator\n"
        "sessions = [Session() for _ in range(5)]\n"
        "print(accelerator._answer[0]._free and [one.backend for one in sessions])\n"
        "import ctypes\n"
        "control = ctypes.CDLL('libqatzip.so.3')\n"
        "print(control.standin_count(b'compressed'))"
    )
    assert run_with_device(code).stdout == "['qat', 'qat', 'qat', 'qat', 'qat']\n1\n"


def test_a_session_uses_the_device_as_it_was_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    standin = StandIn(tmp_path)
    monkeypatch.setattr(accelerator, "_answer", [standin.library])
    session = Session(3, accelerator="require")
    data = bytes(range(256)) * 2048
    assert session.decompress(session.compress(data).data).data == data
    assert session.backend == "qat"
    assert [standin.count(name) for name in ("level", "hw_buff_sz")] == [3, 65536]


def test_only_what_a_device_writes_may_be_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_answer", [])
    for wish, why in (
        ({"format": "raw"}, "a device has format gzip-ext only"),
        ({"format": "gzip"}, "a device has format gzip-ext only"),
        ({"member_size": 4096}, "a device has members of 65536 bytes only"),
        (
            {"member_size": 524288},
            "no device makes members as large as a packet, .*-size 64K keeps",
        ),
    ):
        with pytest.raises(MethodUnavailable, match=f"is required, but {why}"):
            Session(accelerator="require", **wish)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="accelerator must be one of auto, require, off"):
        Session(accelerator="maybe")


@pytest.mark.parametrize("seen", [True, False])
def test_members_are_the_cause_only_where_there_is_a_device(
    monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    monkeypatch.setattr(accelerator, "device_present", lambda: seen)
    why = (
        "no device makes members as large as a packet, which suit a far end" if seen else NO_DEVICE
    )
    said = Session(accelerator="auto", member_size=524288).why
    assert said.startswith(f"QATzip works in software (isa-l): {why}")


def test_missing_library_is_a_sentence() -> None:
    with pytest.raises(MethodUnavailable, match="QATzip's library cannot be loaded"):
        Library("libqatzip-that-is-not-there.so.3")


@pytest.mark.parametrize(("defines", "version"), [((), "1.3"), (("NO_LOG_LEVEL",), "1.0.9 to 1.2")])
def test_the_version_is_told_by_symbols(defines: tuple[str, ...], version: str) -> None:
    assert Library(str(built(*defines) / "libqatzip.so.3")).version == version


def test_a_log_that_can_be_silenced_is() -> None:
    # without the call of 1.3 the library's words are its own
    assert run_with_device(ASK, "chatter=1,call_code=-5").stderr == ""
    assert "[Error]" in run_with_device(ASK, "chatter=1,call_code=-5", "NO_LOG_LEVEL").stderr


def counters(root: Path, requests: int) -> None:
    """Write a device's firmware counters as the kernel shows them."""
    folder = root / "sys/kernel/debug/qat_4xxx_0000:6b:00.0"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fw_counters").write_text(f"0: {requests} {requests}\n")


def test_the_proof_counts_the_firmwares_requests(tmp_path: Path) -> None:
    standin = StandIn(tmp_path)

    def load(more: int) -> Library:
        counters(tmp_path, 5 + more)
        return standin.library

    for more, verdict in ((2, Offload.DEVICE), (0, Offload.UNCOUNTED)):
        counters(tmp_path, 5)
        proof = prove(lambda more=more: load(more), Root(str(tmp_path)))  # type: ignore[misc]
        assert (proof.input_bytes, proof.member_xfl) == (PROOF_BYTES, (0, 0))
        assert (proof.requests_before, proof.requests_after) == (5, 5 + more)
        assert proof.verdict is verdict
    standin.set(software=1)
    proof = prove(lambda: standin.library, Root(str(tmp_path)))
    assert proof.member_xfl == (4,)
    assert proof.verdict is Offload.SOFTWARE
