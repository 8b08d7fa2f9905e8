"""Streams of one method whose level moves: what any decoder of the method reads, and migrations to
an end that may be a QEMU."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import zstandard

import fakes_wire
from codec_samples import PAGE, packets
from fakes_choosing import Turns, text
from fakes_pair import pair
from fakes_plain import plain_pair
from fakes_relay import RelayThread, Stage
from fakes_wire import Guest, Script
from ramferry.codec import more_with_relay
from ramferry.flows.choosing.adaptive import AdaptiveEncoder
from ramferry.flows.choosing.chooser import Chooser
from ramferry.flows.choosing.encoders import Encoders
from ramferry.metrics import RelayResult
from ramferry.policy.candidates import levels_of
from ramferry.policy.measurements import NONE, Candidate
from ramferry.vocabulary import AUTO

METHODS = ("zstd", "zlib", "qatzip")
GUEST = Guest(method="none", channels=2, rounds=12, packets=8, pages=4)
SIZE = GUEST.channels * GUEST.rounds * GUEST.packets * GUEST.pages * GUEST.page_size


def turns(method: str) -> tuple[Candidate, ...]:
    """Fast levels of a method, in an order in which each follows another one."""
    light = [one for one in levels_of(method, device=False) if one.level <= 9]
    return tuple(random.Random(5).sample(light, len(light)))


@pytest.fixture
def in_turns(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has all levels of a method chosen in turn, and pages like text."""

    def choose(method: str) -> None:
        monkeypatch.setattr(Chooser, "methods", Turns(*turns(method)))
        monkeypatch.setattr(Chooser, "look", lambda _: None)
        monkeypatch.setattr(fakes_wire, "page", text)

    return choose


def payloads(method: str) -> Iterator[tuple[bytes, bytes]]:
    """One channel's packets, the level of each chosen anew: pages and payload."""
    chooser = SimpleNamespace(
        plain=False,
        method=method,
        methods=Turns(*turns(method)),
        codecs=lambda: Encoders(PAGE, AUTO, AUTO, method),
        trials=SimpleNamespace(open=False),
    )
    encoder = AdaptiveEncoder(cast("Chooser", chooser))
    for pages in packets(60):
        parts = encoder.encode(memoryview(pages))
        assert encoder.method == method
        yield pages, b"".join(parts)
    sent = {one for _, one in encoder.uses}
    assert sent == set(turns(method))


def test_zlib_is_one_stream_that_is_inflated_page_by_page() -> None:
    """As QEMU does: so many bytes at a time as a page has, and nothing left over of a packet."""
    stream = zlib.decompressobj()
    for pages, payload in payloads("zlib"):
        out, left = b"", payload
        while len(out) < len(pages):
            out += stream.decompress(left, PAGE)
            left = stream.unconsumed_tail
        assert out == pages
        # the sync mark
        assert stream.decompress(left) == b""
        assert not stream.unused_data
    assert not stream.eof


def test_zstd_is_frames_that_are_decompressed_page_by_page() -> None:
    whole = list(payloads("zstd"))
    joined = io.BytesIO(b"".join(payload for _, payload in whole))
    stream = zstandard.ZstdDecompressor().stream_reader(joined, read_across_frames=True)
    for pages, _ in whole:
        out = b"".join(stream.read(PAGE) for _ in range(len(pages) // PAGE))
        assert out == pages


def test_qatzip_is_gzip_members_in_each_packet() -> None:
    for pages, payload in payloads("qatzip"):
        assert gzip.decompress(payload) == pages


def test_a_packet_that_does_not_shrink_at_a_streams_beginning_has_its_header() -> None:
    encoders = Encoders(PAGE, AUTO, AUTO, "zlib")
    pages = memoryview(random.Random(1).randbytes(8 * PAGE))
    encoders.of(Candidate("zlib", 6)).encode(pages)
    first = b"".join(encoders.payload(encoders.plain(pages)))
    then = b"".join(encoders.payload(encoders.plain(pages)))
    stream = zlib.decompressobj()
    assert stream.decompress(first) == stream.decompress(then) == pages
    assert len(first) == len(then) + 2


def check(result: RelayResult, method: str) -> None:
    assert (result.method_out, result.level) == (method, None)
    assert result.choosing is not None
    assert sum(result.choosing.page_bytes.values()) == SIZE
    assert {name for name, size in result.choosing.wire_bytes.items() if size} == {method}
    assert set(result.choosing.page_bytes) == set(map(str, turns(method)))
    assert result.counters.wire_by_method == result.choosing.wire_bytes


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("source", ["none", "zlib"])
def test_a_level_moves_towards_what_may_be_a_qemu(
    tmp_path: Path, in_turns: Callable[[str], None], method: str, source: str
) -> None:
    in_turns(method)
    stage = Stage(tmp_path, method=method, auto_level=True)
    with RelayThread(stage.settings) as relay:
        destination = stage.carry(relay, Script(replace(GUEST, method=source)))
        check(relay.finished(), method)
        assert relay.seen.notes == [more_with_relay(method)]
    assert destination.methods == {method}


@pytest.mark.parametrize("method", METHODS)
def test_a_level_moves_between_relays(
    tmp_path: Path, in_turns: Callable[[str], None], method: str
) -> None:
    in_turns(method)
    with pair(tmp_path, method, auto_level=True) as both:
        both.stage.carry(both.near, Script(GUEST))
        near = both.near.finished()
        check(near, method)
        assert both.far.finished().method_in == method
        assert near.agreed_out is not None
        assert near.agreed_out.loads
        assert both.near.seen.notes == []


@pytest.mark.parametrize("method", METHODS)
def test_a_level_moves_in_a_plain_stream(
    tmp_path: Path, in_turns: Callable[[str], None], method: str
) -> None:
    in_turns(method)
    with plain_pair(tmp_path, method, near={"auto_level": True}) as both:
        both.carries(1)
        result = both.near.finished()
    assert result.choosing is not None
    assert {name for name, size in result.choosing.wire_bytes.items() if size} == {method}


@pytest.mark.parametrize("method", METHODS)
def test_pages_that_do_not_shrink_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(Chooser, "methods", Turns(Candidate(method, 1), NONE))
    monkeypatch.setattr(Chooser, "look", lambda _: None)
    monkeypatch.setattr(fakes_wire, "page", random.Random.randbytes)
    stage = Stage(tmp_path, method=method, auto_level=True)
    with RelayThread(stage.settings) as relay:
        destination = stage.carry(relay, Script(GUEST))
        result = relay.finished()
    assert destination.methods == {method}
    assert result.choosing is not None
    assert SIZE < result.choosing.wire_bytes[method] < SIZE * 1.01


def test_decisions_are_made_without_a_word_of_the_far_end(tmp_path: Path) -> None:
    stage = Stage(tmp_path, method="zlib", auto_level=True)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, Script(GUEST))
        result = relay.finished()
    assert result.choosing is not None
    assert result.choosing.timeline
    named = {name for one in result.choosing.timeline for name in one.methods.values()}
    assert named <= set(map(str, levels_of("zlib", device=False)))
    assert {one.far_cores for one in result.choosing.timeline} == {0.0}
    assert result.counters.choice


@pytest.mark.parametrize("method", METHODS)
def test_packets_with_zero_pages_alone_have_the_streams_method(tmp_path: Path, method: str) -> None:
    """What ``carry`` proves: the destination finds a fault in any other."""
    stage = Stage(tmp_path, method=method, auto_level=True)
    with RelayThread(stage.settings) as relay:
        destination = stage.carry(relay, Script(replace(GUEST, pages=0, zeros=3)))
    assert destination.zero_pages == 3 * GUEST.channels * GUEST.rounds * GUEST.packets
