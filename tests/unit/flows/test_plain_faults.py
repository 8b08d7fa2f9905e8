"""What becomes of a plain stream between two relays if something breaks."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from fakes_plain import END, PlainPair, opening, pages, plain_pair, precopy, switched
from fakes_relay import until
from fakes_source import SETTLE
from peer_meddler import Flip
from ramferry.errors import CorruptDataError, RemoteProtocolError
from ramferry.flows.outlet.tunnelling import CONNECTIONS
from ramferry.wire.return_path import shut
from wire_streams import RAM_ID, Stream, part

DATA = precopy()
RAM_END = DATA.rindex(part(RAM_ID, kind=END))
"""Where ram's END begins, with which the switchover does."""


ROUND = Stream(rounds=False)
ROUND.data.clear()
ROUND.ram(pages(40, seed=5))
MORE = bytes(ROUND.data)
"""Another round of pages."""


def both_failed(pair: PlainPair, nth: int = 1) -> tuple[str, str]:
    near, far = pair.near.finished(nth), pair.far.finished(nth)
    assert not near.completed
    assert not far.completed
    return near.error, far.error


@pytest.mark.parametrize("index", range(CONNECTIONS))
def test_a_cut_of_any_connection_before_the_last_round_is_a_reset(
    tmp_path: Path, index: int
) -> None:
    with plain_pair(tmp_path) as pair:
        with pair.source() as source:
            source.send(DATA[:RAM_END])
            with pair.destination() as destination:
                destination.has(RAM_END)
                pair.meddler.cut("stream", index)
                assert source.ended.wait(SETTLE)
                assert destination.ended.wait(SETTLE)
                assert destination.got == DATA[:RAM_END]
        both_failed(pair)
        pair.carries(2)


@pytest.mark.parametrize("index", [0, CONNECTIONS - 1])
def test_the_destination_gets_nothing_of_an_end_that_was_cut(tmp_path: Path, index: int) -> None:
    with plain_pair(tmp_path) as pair:
        with pair.source() as source:
            source.send(DATA[:-10])
            with pair.destination() as destination:
                destination.has(RAM_END)
                until(lambda: pair.near.session is not None and pair.near.session.switched)
                pair.meddler.cut("stream", index)
                assert destination.ended.wait(SETTLE)
                assert destination.got == DATA[:RAM_END]
            assert source.ended.wait(SETTLE)
        near, _ = both_failed(pair)
        assert "has not taken the guest over" in near
        pair.carries(2)


@pytest.mark.parametrize("index", [0, CONNECTIONS - 1])
def test_an_answer_that_is_cut_off_is_asked_for(tmp_path: Path, index: int) -> None:
    with plain_pair(tmp_path) as pair:
        with pair.source() as source:
            source.send(DATA)
            with pair.destination() as destination:
                destination.has(len(DATA))
                pair.meddler.cut("stream", index)
                destination.send(shut())
                source.has(8)
                assert source.got == shut()
                source.finish()
                assert destination.ended.wait(SETTLE)
        assert pair.near.finished().completed
        assert pair.far.finished().completed
        pair.carries(2)


@pytest.mark.parametrize("index", range(CONNECTIONS))
def test_any_stream_is_reset_if_a_connection_is_cut(tmp_path: Path, index: int) -> None:
    with plain_pair(tmp_path) as pair, pair.source() as source:
        source.send(b"this is no migration")
        with pair.destination() as destination:
            destination.has(20)
            pair.meddler.cut("stream", index)
            assert source.ended.wait(SETTLE)
            assert destination.ended.wait(SETTLE)
        for error in both_failed(pair):
            assert "guest" not in error


@pytest.mark.parametrize("index", [0, CONNECTIONS - 1])
def test_behind_the_switch_to_postcopy_a_cut_is_a_reset_at_both_ends(
    tmp_path: Path, index: int
) -> None:
    before, behind = switched()
    with plain_pair(tmp_path) as pair, pair.source() as source:
        source.send(before + behind[:-1])
        with pair.destination() as destination:
            destination.has(len(before + behind) - 1)
            pair.meddler.cut("stream", index)
            assert source.ended.wait(SETTLE)
            assert destination.ended.wait(SETTLE)
        for error in both_failed(pair):
            assert "had switched to postcopy" in error


def test_a_flipped_bit_fails_it_before_the_destination_sees_it(tmp_path: Path) -> None:
    with plain_pair(tmp_path) as pair:
        pair.meddler.flip = Flip("stream", 200)
        with pair.source() as source:
            source.send(DATA[:RAM_END])
            with pair.destination(), contextlib.suppress(OSError):
                while not pair.meddler.struck.is_set():  # whichever connection is next
                    source.send(MORE)
                assert source.ended.wait(SETTLE)
        assert pair.meddler.struck.is_set()
        codes = {RemoteProtocolError.exit_code, CorruptDataError.exit_code}
        assert pair.far.finished().exit_code in codes
        assert not pair.near.finished().completed


def test_a_source_that_ends_in_the_middle(tmp_path: Path) -> None:
    with plain_pair(tmp_path) as pair:
        with pair.source() as source:
            source.send(DATA[:RAM_END])
            with pair.destination() as destination:
                destination.has(RAM_END)
                source.finish()
                assert destination.ended.wait(SETTLE)
                assert source.ended.wait(SETTLE)
        near, _ = both_failed(pair)
        assert "before its last round" in near


def test_a_source_that_says_only_its_name(tmp_path: Path) -> None:
    with plain_pair(tmp_path) as pair, pair.source() as source:
        source.send(DATA[:8] + opening())
        source.finish()
        assert source.ended.wait(SETTLE)
        assert pair.never_connected()


def test_without_a_return_path_the_end_waits_for_the_rest(tmp_path: Path) -> None:
    data = precopy(return_path=False)
    end = data.rindex(part(RAM_ID, kind=END))
    with (
        plain_pair(tmp_path, near={"allow_no_return_path": True}) as pair,
        pair.source() as source,
    ):
        source.send(data[:-10])
        with pair.destination() as destination:
            destination.has(end)
            until(lambda: pair.far.session is not None and not pair.far.session.ending)
            assert destination.got == data[:end]
            pair.meddler.cut("stream")
            assert destination.ended.wait(SETTLE)
            assert destination.got == data[:end]
        both_failed(pair)
