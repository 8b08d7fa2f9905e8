"""Whole migrations whose QATzip works on a stand-in for a device, or on what is left of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes_relay import RelayThread, Stage
from fakes_wire import Guest, Script
from ramferry.errors import MethodUnavailable, UsageError
from ramferry.metrics import RelayResult
from ramferry.qatzip import accelerator
from standins import StandIn


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A device that this process has proven."""
    made = StandIn(tmp_path)
    monkeypatch.setattr(accelerator, "_answer", [made.library])
    return made


def carried(folder: Path, method_in: str, method_out: str, **settings: object) -> tuple[
    RelayResult, list[str]
]:  # fmt: skip
    """Carry a migration; its result, and what was noted."""
    script = Script(Guest(method=method_in, packets=6))
    stage = Stage(folder, method=method_out, **settings)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)
        return relay.finished(), relay.seen.notes


@pytest.mark.parametrize(
    ("method_in", "method_out", "backend"),
    [
        ("none", "qatzip", "qat"),
        ("qatzip", "none", "qat"),
        ("qatzip", "qatzip", "qat"),
        ("zstd", "qatzip", "zstd → qat"),
        ("qatzip", "zstd", "qat → zstd"),
    ],
)
@pytest.mark.parametrize("policy", ["auto", "require"])
def test_the_device_works_in_both_directions(
    standin: StandIn, tmp_path: Path, method_in: str, method_out: str, backend: str, policy: str
) -> None:
    result, notes = carried(tmp_path, method_in, method_out, accelerator=policy)
    assert result.backend == backend
    assert notes.count("QATzip works in hardware: a device did a test job") == 1
    assert standin.count("shared") == standin.count("after_error") == 0


@pytest.mark.usefixtures("standin")
def test_off_leaves_the_device_alone(tmp_path: Path) -> None:
    result, notes = carried(tmp_path, "none", "qatzip", accelerator="off")
    assert result.backend == "isa-l"
    assert "QATzip works in software (isa-l): the accelerator is off" in notes


def test_a_device_lost_on_the_way_is_told_with_its_share(standin: StandIn, tmp_path: Path) -> None:
    standin.set(lost_after=4)
    result, notes = carried(tmp_path, "none", "qatzip")
    assert result.completed
    shares = dict(part.rsplit(" ", 2)[:2] for part in result.backend.split(" / "))
    assert set(shares) == {"qat", "isa-l"}
    assert sum(map(int, shares.values())) == 100
    told = [note for note in notes if "took over" in note]
    # one cause a channel: which call the loss meets, a running one or a set-up, is chance
    assert 1 <= len(told) == len(set(told)) <= Guest().channels
    assert all(note.startswith("the CPU took over from the device: qz") for note in told)


@pytest.mark.parametrize("method", ["qatzip", "none"])
def test_a_device_that_is_required_and_missing_ends_the_relay_before_it_listens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str
) -> None:
    monkeypatch.setattr(accelerator, "_answer", ["there is no QAT device"])
    stage = Stage(tmp_path, method=method, accelerator="require")
    with pytest.raises(MethodUnavailable, match="is required, but there is no QAT device"):
        RelayThread(stage.settings)
    assert not (tmp_path / "relay").exists()


@pytest.mark.usefixtures("standin")
@pytest.mark.parametrize(
    ("asked", "policy", "size", "engine"),
    [
        ("auto", "auto", 65536, "qat"),
        ("64K", "require", 65536, "qat"),
        ("packet", "auto", 524288, "isa-l"),
        ("packet", "off", 524288, "isa-l"),
        ("auto", "off", 65536, "isa-l"),
    ],
)
def test_a_device_has_members_of_64_kib_and_one_a_packet_leaves_it_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    policy: str,
    size: int,
    engine: str,
) -> None:
    monkeypatch.setattr(accelerator, "device_present", lambda: True)
    options = {"member_size": asked, "accelerator": policy}
    result, notes = carried(tmp_path, "none", "qatzip", **options)
    assert (result.backend, result.member_size) == (engine, size)
    if (asked, policy) == ("packet", "auto"):
        said = "QATzip works in software (isa-l): no device makes members as large as a packet"
        assert any(note.startswith(said) for note in notes)


def test_one_member_a_packet_from_a_device_is_refused_before_anything_listens(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, method="qatzip", accelerator="require", member_size="packet")
    with pytest.raises(UsageError, match="a QAT device has members of 64 KiB only: take either"):
        RelayThread(stage.settings)
    assert not (tmp_path / "relay").exists()
