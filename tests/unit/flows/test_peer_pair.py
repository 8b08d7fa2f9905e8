"""Two relays that know each other: what they carry, agree on, and see of damage between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fakes_pair import pair
from fakes_relay import RelayThread, Stage, until
from fakes_wire import Guest, Mode, Script, device
from peer_meddler import Flip
from ramferry import __version__
from ramferry.codec import METHODS
from ramferry.codec.zstd import ZstdDecoder
from ramferry.errors import CorruptDataError, RemoteProtocolError
from ramferry.flows.peer.agreement import UNVERIFIED
from ramferry.metrics.agreement import Agreement
from ramferry.transport.address import RelayAddress, TcpAddress

AGREED = Agreement(
    *(__version__, 1, "xxh3-128", "packet"),
    method_per_packet=True,
    answers=True,
    streams=True,
    order=True,
)
HEADER = 1344


@pytest.mark.parametrize("mode", ["section", "round"])
@pytest.mark.parametrize("method", METHODS)
def test_a_pair_carries_every_method_and_says_what_it_agreed_on(
    tmp_path: Path, method: str, mode: Mode
) -> None:
    guest = Guest(
        method="none",
        mode=mode,
        zeros=2 if mode == "round" else 0,
        sync_on_data=mode == "section",
        stale_size=mode == "section",
        device_state=300_000 if mode == "round" else 0,
    )
    with pair(tmp_path, method) as both:
        for nth in (1, 2):
            both.stage.carry(both.near, Script(replace(guest, seed=nth)), nth)
        near, far = both.near.finished(2), both.far.finished(2)
    assert (near.agreed_in, near.agreed_out) == (None, AGREED)
    assert (far.agreed_in, far.agreed_out) == (AGREED, None)
    assert (near.method_out, far.method_in) == (method, method)
    assert len(near.migration) == 8
    assert near.migration == near.counters.migration == far.migration == far.counters.migration
    assert near.counters.digest_seconds > 0
    assert far.counters.digest_seconds > 0


@pytest.mark.parametrize("method", ["none", "zstd"])
def test_a_pair_by_tcp_with_pages_on_main_and_on_channels(tmp_path: Path, method: str) -> None:
    stage = Stage(tmp_path, method="none")
    listens = replace(stage.settings, listen=RelayAddress(TcpAddress("127.0.0.1", 0)))
    with RelayThread(listens) as far:
        near_settings = replace(stage.settings, connect=far.address, method=method)
        with RelayThread(near_settings) as near:
            for nth in (1, 2):
                guest = Guest(
                    method="zlib",
                    whole=True,
                    zeros=3,
                    channels=4,
                    rounds=5,
                    early=device(1),
                    seed=nth,
                )
                # a mark more, of the round in which all pages are named zero on main
                script = Script(guest)
                with stage.destination(guest) as destination, stage.source(near, script):
                    result = near.finished(nth)
                    assert result.error == ""
                    until(destination.all_ended)
                assert destination.faults == []
                assert destination.memory == script.memory
                assert destination.marks == list(range(guest.rounds + 2))
            assert far.finished(2).agreed_in == AGREED


def test_no_digest_is_made_where_one_side_does_not_want_it(tmp_path: Path) -> None:
    with pair(tmp_path, "zstd", verify=False) as both:
        both.stage.carry(both.near, Script(Guest(method="none")))
        assert both.near.finished().agreed_out == replace(AGREED, digest="")
        assert both.near.finished().counters.digest_seconds == 0
        assert UNVERIFIED in both.near.seen.notes
        # its own person did not want any
        assert UNVERIFIED not in both.far.seen.notes


OPENING = 24
FIRST = OPENING + 64
"""Where a channel's first packet begins, a SYNC."""
SECOND = FIRST + HEADER
"""Where the one with the first pages begins."""
FLIPS = {
    "opening of control": Flip("control", 1),
    "token of main": Flip("main", 12),
    "token of a channel": Flip("multifd", 12),
    "initial packet": Flip("multifd", OPENING + 20),
    "initial packet, reserved": Flip("multifd", OPENING + 40),
    "SYNC": Flip("multifd", FIRST + 300),
    "SYNC, packet number": Flip("multifd", FIRST + 30),
    "flags": Flip("multifd", SECOND + 11, 1),
    "payload's size": Flip("multifd", SECOND + 23),
    "packet number": Flip("multifd", SECOND + 31),
    "pages' digest": Flip("multifd", SECOND + 36),
    "header's digest": Flip("multifd", SECOND + 63, 7),
    "block": Flip("multifd", SECOND + 65),
    "offset": Flip("multifd", SECOND + 326, 4),
    "offset of no page": Flip("multifd", SECOND + 1300),
    "payload": Flip("multifd", SECOND + HEADER + 100, 3),
    "frame's size": Flip("main", OPENING + 3),
    "frame's kind": Flip("main", OPENING + 7),
    "frame": Flip("main", OPENING + 16 + 30),
}


@pytest.mark.parametrize("method", ["none", "zstd"])
@pytest.mark.parametrize("what", FLIPS)
def test_a_flipped_bit_is_found_before_the_switchover(
    tmp_path: Path, what: str, method: str
) -> None:
    """The guest goes on at the source, and the next one is carried."""
    with pair(tmp_path, method) as both:
        both.meddler.flip = FLIPS[what]
        result = both.stage.fail(both.near, Script(Guest(method="none", zeros=2)))
        assert both.meddler.struck.is_set()
        if FLIPS[what].kind == "multifd" and FLIPS[what].at >= FIRST:
            assert "multifd" in result.error
            assert result.exit_code == RemoteProtocolError.exit_code
        both.meddler.calm()
        both.stage.carry(both.near, Script(Guest(method="none")), 2)


def test_the_sources_side_tells_what_the_far_side_found(tmp_path: Path) -> None:
    with pair(tmp_path, "zstd") as both:
        both.meddler.flip = FLIPS["payload"]
        result = both.stage.fail(both.near, Script(Guest(method="none")))
        far = both.far.finished()
    assert far.error.endswith(
        "packet 1: expected the payload of pages of block 'pc.ram' as sent, received another "
        "digest: the link between the hosts is to be suspected"
    )
    # it may have sent all before the far one has read it: then it asks
    whose = str(both.near.relay._settings.connect), "the destination has not taken the guest over"
    assert result.error in [f"{one}: {far.error}" for one in whose]
    assert result.exit_code == far.exit_code == RemoteProtocolError.exit_code


def test_a_codec_that_gives_other_pages_is_to_be_suspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = ZstdDecoder.decode

    def wrong(self: ZstdDecoder, payload: memoryview, pages: memoryview) -> None:
        decode(self, payload, pages)
        pages[5000] ^= 4

    monkeypatch.setattr(ZstdDecoder, "decode", wrong)
    with pair(tmp_path, "zstd") as both:
        result = both.stage.fail(both.near, Script(Guest(method="none")))
    assert "the source's pages of block 'pc.ram'" in result.error
    assert "the codec, or the device that did its work, at either end" in result.error
    assert result.exit_code == CorruptDataError.exit_code
