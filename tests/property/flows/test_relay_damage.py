"""Random damage to a channel's stream: the relay fails, or carries what a destination alone reads.

Whatever bytes come, the migration ends: both sides' connections end, no mark comes that a
destination could not meet, and a migration that completes has the pages that the same bytes give
a destination without a relay.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import SETTLE, FakeSource
from fakes_wire import Guest, Script, Step
from ramferry.codec import METHODS

STALL = 0.15
GUEST = {"rounds": 1, "packets": 2, "pages": 3, "zeros": 1}

Edit = tuple[str, int, int]
"""A kind of damage, its place in thousandths of the channel's bytes, and a number."""

edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "byte", "drop", "double", "cut", "zero"]),
        st.integers(0, 999),
        st.integers(1, 255),
    ),
    min_size=1,
    max_size=3,
)


def damaged(stream: bytes, damage: list[Edit]) -> bytes:
    raw = bytearray(stream)
    for kind, place, number in damage:
        # behind the initial packet, whose damage makes another migration of it
        at = 64 + place * max(len(raw) - 64, 0) // 1000
        if kind == "flip":
            raw[at : at + 1] = bytes(one ^ (1 << number % 8) for one in raw[at : at + 1])
        elif kind == "byte":
            raw[at : at + 1] = bytes([number])
        elif kind == "drop":
            del raw[at : at + number]
        elif kind == "double":
            raw[at:at] = raw[at : at + number]
        elif kind == "zero":
            raw[at : at + number] = bytes(len(raw[at : at + number]))
        else:
            del raw[at:]
    return bytes(raw)


def damage_script(script: Script, channel: int, damage: list[Edit]) -> Script:
    """Replace the channel's bytes, as they are spread over its steps, by the damaged ones."""
    twin = script.copy()
    raw = damaged(script.stream(channel), damage)
    for index, step in enumerate(twin.steps):
        if isinstance(step, Step) and step.where == channel:
            piece, raw = raw[: len(step.data)], raw[len(step.data) :]
            twin.steps[index] = Step(channel, piece, step.what)
    twin.steps.append(Step(channel, raw, "rest"))
    return twin


@given(
    method=st.sampled_from(sorted(METHODS)),
    same=st.booleans(),
    channel=st.integers(0, 1),
    damage=edits,
)
def test_damage_ends_as_a_failure_or_as_the_same_pages(
    method: str, same: bool, channel: int, damage: list[Edit]
) -> None:
    script = damage_script(Script(Guest(method=method, **GUEST)), channel, damage)
    out = method if same else "qatzip" if method != "qatzip" else "none"
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch("ramferry.flows.inlet.watching.STEP", 0.02),
    ):
        stage = Stage(Path(folder), method=out, stall_timeout=STALL)
        with (
            RelayThread(stage.settings) as relay,
            stage.destination(script.guest) as destination,
            stage.source(relay, script) as source,
        ):
            result = relay.finished()
            until(lambda: source.done.is_set() and source.left() <= relay.waiting(), NOTICE)
            until(destination.all_ended, NOTICE)
        assert not [one for one in destination.faults if "was cut after" not in one]
        assert destination.complete is result.completed
        assert source.status == ("completed" if result.completed else "failed")
        if result.completed:
            assert destination.memory == alone(script, Path(folder), method)
        else:
            assert result.error
            assert result.exit_code in (5, 7, 9)


def alone(script: Script, folder: Path, method: str) -> dict[str, bytearray]:
    """What a destination reads of the same bytes without a relay."""
    stage = Stage(folder, method=method)
    with stage.destination(script.guest) as destination:
        source = FakeSource(stage.destination_address, script)
        try:
            assert destination.main_ended.wait(SETTLE)
        finally:
            source.close()
    assert destination.complete
    return destination.memory


def test_the_property_would_notice_a_page_that_differs() -> None:
    script = Script(Guest(method="none", **GUEST))
    index = script.find("payload", 0)
    other = script.copy().edit(index, lambda raw: bytes([raw[0] ^ 1]) + bytes(raw[1:]))
    with tempfile.TemporaryDirectory() as folder:
        assert alone(script, Path(folder), "none") == script.memory
        with pytest.raises(AssertionError):
            assert alone(other, Path(folder), "none") == script.memory
