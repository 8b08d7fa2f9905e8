"""Migrations between two relays of which one chooses each packet's method, from end to end."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

import fakes_wire
from fakes_choosing import Turns, text
from fakes_pair import Pair, pair
from fakes_plain import plain_pair
from fakes_relay import RelayThread, until
from fakes_wire import Guest, Script
from peer_meddler import Meddler
from ramferry.flows.choosing import adaptive
from ramferry.metrics.choosing import Choosing
from ramferry.policy.measurements import Candidate, PageClass
from ramferry.vocabulary import AUTO

GUEST = Guest(method="none", channels=2, rounds=12, packets=8, pages=4)
SIZE = GUEST.channels * GUEST.rounds * GUEST.packets * GUEST.pages * GUEST.page_size


def chosen(both: Pair[Meddler]) -> Choosing:
    result = both.near.finished()
    assert result.method_out == AUTO
    assert result.choosing is not None
    assert sum(result.choosing.page_bytes.values()) == SIZE
    assert sum(result.choosing.wire_bytes.values()) <= result.counters.bytes_out
    assert result.counters.wire_by_method == result.choosing.wire_bytes
    assert sum(result.choosing.shares.values()) == pytest.approx(1.0)
    return result.choosing


def test_all_methods_on_one_channel_bring_the_same_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(
        *(Candidate("zstd", level) for level in (-7, 1, 9, 3)),
        Candidate("none"),
        *(Candidate("qatzip", level) for level in (1, 5)),
    )
    monkeypatch.setattr("ramferry.flows.choosing.chooser.Chooser.methods", turns)
    monkeypatch.setattr("ramferry.flows.choosing.chooser.Chooser.look", lambda _: None)
    monkeypatch.setattr(fakes_wire, "page", text)
    with pair(tmp_path, AUTO) as both:
        both.stage.carry(both.near, Script(GUEST))
        told = chosen(both)
        far = both.far.finished()
    assert set(told.page_bytes) == {
        *("zstd -7", "zstd 1", "zstd 9", "zstd 3", "none", "qatzip 1", "qatzip 5")
    }
    sent = {name for name, size in told.wire_bytes.items() if size}
    assert sent == {"none", "zstd", "qatzip"}
    assert set(far.method_in.split(", ")) == sent
    assert sum(told.wire_bytes.values()) < SIZE


def test_pages_that_do_not_shrink_go_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(Candidate("zstd", 1), Candidate("qatzip", 1))
    monkeypatch.setattr("ramferry.flows.choosing.chooser.Chooser.methods", turns)
    monkeypatch.setattr("ramferry.flows.choosing.chooser.Chooser.look", lambda _: None)
    monkeypatch.setattr(fakes_wire, "page", random.Random.randbytes)
    with pair(tmp_path, AUTO) as both:
        both.stage.carry(both.near, Script(GUEST))
        told = chosen(both)
        assert both.far.finished().method_in == "none"
    assert {name: size for name, size in told.wire_bytes.items() if size} == {"none": SIZE}


@pytest.mark.parametrize("method", ["zlib", "zstd"])
def test_a_source_that_compresses_is_inflated_first(tmp_path: Path, method: str) -> None:
    with pair(tmp_path, AUTO) as both:
        both.stage.carry(both.near, Script(replace(GUEST, method=method)))
        chosen(both)
        assert both.near.finished().method_in == method


def test_packets_with_zero_pages_alone_come_first(tmp_path: Path) -> None:
    with pair(tmp_path, AUTO) as both:
        both.stage.carry(both.near, Script(replace(GUEST, pages=0, zeros=3)))
        assert both.far.finished().method_in == "none"


def test_a_plain_stream_has_each_piece_by_a_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(Candidate("zstd", 1), Candidate("none"), Candidate("qatzip", 1))
    monkeypatch.setattr("ramferry.flows.choosing.chooser.Chooser.methods", turns)
    monkeypatch.setattr("ramferry.flows.choosing.chooser.Chooser.look", lambda _: None)
    with plain_pair(tmp_path, AUTO) as both:
        both.carries(1)
        result = both.near.finished()
    assert result.choosing is not None
    sent = {name for name, size in result.choosing.wire_bytes.items() if size}
    assert sent >= {"none"}
    assert sent & {"zstd", "qatzip"}


def test_the_far_end_tells_its_load_and_decisions_are_made(tmp_path: Path) -> None:
    with pair(tmp_path, AUTO) as both:
        both.stage.carry(both.near, Script(GUEST))
        told = chosen(both)
        near, far = both.near.finished(), both.far.finished()
    assert near.agreed_out is not None
    assert near.agreed_out.loads
    assert far.agreed_in is not None
    assert far.agreed_in.loads
    assert told.timeline
    assert told.policy_seconds > 0
    assert near.counters.choice


def test_a_small_packet_is_not_tried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it costs beside its pages would count as theirs."""
    monkeypatch.setattr(adaptive, "sampled", lambda _: True)
    with pair(tmp_path, AUTO) as both:
        both.stage.carry(both.near, Script(GUEST))
        assert chosen(both).trials == 0


def test_where_nothing_is_compressed_one_packet_in_eight_is_classified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    kind = PageClass.TEXT
    monkeypatch.setattr(adaptive, "FIRST", 0)
    monkeypatch.setattr(adaptive, "classify", lambda pages: asked.append(len(pages)) or kind)
    monkeypatch.setattr("ramferry.flows.choosing.chooser.Chooser.look", lambda _: None)
    with pair(tmp_path, AUTO) as both:
        both.stage.carry(both.near, Script(GUEST))
        assert chosen(both).page_bytes == {"none": SIZE}
    packets = GUEST.channels * GUEST.rounds * GUEST.packets
    assert packets / 8 <= len(asked) <= packets / 8 + GUEST.channels


def test_one_method_asks_for_no_load(tmp_path: Path) -> None:
    with pair(tmp_path, "zstd") as both:
        both.stage.carry(both.near, Script(GUEST))
        near = both.near.finished()
    assert near.agreed_out is not None
    assert not near.agreed_out.loads
    assert near.choosing is None


def test_nothing_is_tried_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``RelayThread`` proves that the thread of the trials has ended."""
    seen: list[int] = []
    monkeypatch.setattr(adaptive, "sampled", lambda packet: bool(seen.append(packet)) or True)
    with pair(tmp_path, AUTO) as both:
        both.stage.carry(both.near, Script(replace(GUEST, rounds=3, packets=4, pages=32)))
        until(lambda: len(both.near.seen.results) == 1)
        assert isinstance(both.near, RelayThread)
    assert seen
