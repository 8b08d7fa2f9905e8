"""Whole migrations through two relays that speak ``relay:`` to each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fakes_two_relays import pair, peer_stage
from fakes_wire import MAIN, Guest, Script, Step, device, device_content
from ramferry import __version__
from ramferry.codec import METHODS
from ramferry.metrics.agreement import Agreement

OLD = Guest(method="none", mode="section", sync_on_data=True, stale_size=True)
"""As QEMU 7.2 sends."""
NEW = Guest(method="zlib", mode="round", zeros=2, device_state=70_001)
"""As QEMU 10.x does."""


def new_script() -> Script:
    """10.x connects main first, and speaks on it once the channels are there."""
    script = Script(NEW)
    main, *channels = script.steps[:3]
    script.steps[:3] = [Step(MAIN), *channels, main]
    return script


SCRIPTS = {"7.2": lambda: Script(OLD), "10.x": new_script}


def agreement(**other: object) -> Agreement:
    """What two relays of this version agree on."""
    usual = Agreement(
        far=__version__,
        protocol=1,
        digest="xxh3-128",
        member_size="packet",
        method_per_packet=True,
        answers=True,
    )
    return replace(usual, **other)  # type: ignore[arg-type]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("between", METHODS)
def test_every_method_crosses(tmp_path: Path, between: str, script: str) -> None:
    stage = peer_stage(tmp_path, accelerator="off")
    with pair(stage, between) as two:
        for nth in (1, 2):
            two.carry(SCRIPTS[script](), nth)
            near, far = two.near.finished(nth), two.far.finished(nth)
            assert near.agreed_in is far.agreed_out is None
            assert near.agreed_out == far.agreed_in == agreement()
            assert far.method_in == near.method_out == between
            assert near.gated
            assert far.gated


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("method_out", METHODS)
def test_behind_the_pair_every_method_is_the_destinations(
    tmp_path: Path, method_out: str, script: str
) -> None:
    with pair(peer_stage(tmp_path, method_out)) as two:
        two.carry(SCRIPTS[script]())


def test_a_devices_state_crosses_as_it_is(tmp_path: Path) -> None:
    size = 700_001
    script = Script(Guest(device_state=size))
    stage = peer_stage(tmp_path)
    with pair(stage, "qatzip") as two:
        destination = stage.carry(two.near, script)
        assert two.far.finished().completed
    for channel in range(2):
        assert destination.device_states[channel] == device_content(channel, size)
        assert destination.device_names[channel] == f"0000:00:0{channel}.0/vfio"


def test_main_the_answer_and_the_uuid_cross_as_they_are(tmp_path: Path) -> None:
    early = device(1, b"0000:00:03.0/virtio-mem-device-early", 40)
    script = Script(Guest(uuid=bytes(range(16)), early=early))
    stage = peer_stage(tmp_path)
    with pair(stage) as two:
        destination = stage.carry(two.near, script)
        assert two.far.finished().completed
    assert destination.main_stream == script.stream(MAIN)
    assert destination.uuids == {bytes(range(16))}


def test_sixteen_channels(tmp_path: Path) -> None:
    with pair(peer_stage(tmp_path)) as two:
        two.carry(Script(Guest(channels=16, packets=3)))
        assert (two.near.finished().channels, two.far.finished().channels) == (16, 16)


@pytest.mark.parametrize("which", ["near", "far", "both"])
def test_without_digests_where_one_wants_none(tmp_path: Path, which: str) -> None:
    stage = peer_stage(tmp_path, verify=which == "near")
    with pair(stage, verify=which == "far") as two:
        two.carry(new_script())
        assert two.near.finished().agreed_out == two.far.finished().agreed_in
        assert two.near.finished().agreed_out == agreement(digest="")


@pytest.mark.parametrize("which", ["near", "far", "both"])
def test_without_answers_where_one_keeps_none(tmp_path: Path, which: str) -> None:
    keeps, none = 60.0, 0.0
    stage = peer_stage(tmp_path, decide=keeps if which == "near" else none)
    with pair(stage, decide=keeps if which == "far" else none) as two:
        for nth in (1, 2):
            two.carry(new_script(), nth)
            assert two.near.finished(nth).agreed_out == two.far.finished(nth).agreed_in
            assert two.near.finished(nth).agreed_out == agreement(answers=False)
