"""What is changed between two relays that know each other is found, named, and told to both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fakes_pair import pair, pair_with
from fakes_relay import NOTICE, until
from fakes_wire import MAIN, Do, Guest, Script
from peer_units import Strike, UnitMeddler
from ramferry.codec.zstd import ZstdDecoder, ZstdEncoder

GUEST = Guest(method="none", zeros=1, packets=4, device_state=5000)
PROTOCOL = 7
HEADER = "expected the header as sent, received another digest: the link between the hosts is"
FRAME = r"expected frame \d+ as it was sent, received .*: the link between the hosts is to be susp"
CHANNEL = r"multifd [01]"

STRIKES: dict[str, tuple[Strike, str]] = {
    # packets
    "packet dropped": (Strike("multifd", "packet", "drop", 1), rf"{CHANNEL} packet 2: {HEADER}"),
    "packet doubled": (Strike("multifd", "packet", "double", 1), rf"{CHANNEL} packet 3: {HEADER}"),
    "packets swapped": (Strike("multifd", "packet", "swap", 1), rf"{CHANNEL} packet 2: {HEADER}"),
    "packet's header": (
        Strike("multifd", "packet", "flip", 2, at=330),
        rf"{CHANNEL} packet 3: {HEADER}",
    ),
    "packet's unused offsets": (
        Strike("multifd", "packet", "flip", 2, at=1343),
        rf"{CHANNEL} packet 3: {HEADER}",
    ),
    "packet's payload": (
        Strike("multifd", "packet", "flip", 2, at=-1),
        rf"{CHANNEL} packet 3: expected the (payload of )?pages of block 'pc\.ram' as sent, "
        "received another digest: the link",
    ),
    "SYNC dropped": (Strike("multifd", "sync", "drop", 1), rf"{CHANNEL} packet 5: {HEADER}"),
    "SYNC doubled": (Strike("multifd", "sync", "double", 1), rf"{CHANNEL} packet 6: {HEADER}"),
    "SYNC changed": (
        Strike("multifd", "sync", "flip", 2, at=40),
        rf"{CHANNEL} packet 10: {HEADER}",
    ),
    "initial doubled": (
        Strike("multifd", "initial", "double"),
        rf"{CHANNEL} packet 0: expected known packet flags|{CHANNEL} packet 0: {HEADER}",
    ),
    "initial": (Strike("multifd", "initial", "flip", at=12), rf"{CHANNEL} packet 0: {HEADER}"),
    "initial, reserved": (
        Strike("multifd", "initial", "flip", at=45),
        rf"{CHANNEL} packet 0: {HEADER}",
    ),
    # main
    "main's first frame": (Strike("main", "data", "flip", at=30), rf"main: {FRAME}"),
    "main's frame": (Strike("main", "data", "flip", 4, at=-1), rf"main: {FRAME}"),
    "main's frame dropped": (Strike("main", "data", "drop", 3), rf"main: {FRAME}"),
    "main's frame doubled": (Strike("main", "data", "double", 3), rf"main: {FRAME}"),
    "main's frame and mark swapped": (Strike("main", "data", "swap", 3), rf"main: {FRAME}"),
    "main's frame's digest": (Strike("main", "data", "flip", 2, at=9), rf"main: {FRAME}"),
    "mark": (Strike("main", "mark", "flip", 2, at=-1), rf"main: {FRAME}"),
    "mark's index": (Strike("main", "mark", "flip", 2, at=16), rf"main: {FRAME}"),
    "mark's kind": (Strike("main", "mark", "flip", 2, at=7), rf"main: {FRAME}"),
    "mark dropped": (Strike("main", "mark", "drop", 1), rf"main: {FRAME}"),
    "mark doubled": (Strike("main", "mark", "double", 1), rf"main: {FRAME}"),
    "mark swapped": (Strike("main", "mark", "swap", 1), rf"main: {FRAME}"),
    # control
    "hello": (
        Strike("control", "message", "flip", at=15),
        "it refuses: this end's hello makes no sense there: expected a message as it was sent",
    ),
    "hello's length": (
        Strike("control", "message", "flip", at=1),
        "it refuses: this end's hello makes no sense there: expected a message of 1 to 65536 bytes",
    ),
    "answer's hello": (
        Strike("control", "message", "flip", at=-3, way="back"),
        "it says hello otherwise than a Ramferry: expected a message as it was sent, received "
        "another digest: the link",
    ),
    "answer's opening": (
        Strike("control", "opening", "flip", at=2, way="back"),
        "it is no Ramferry, but begins with bytes",
    ),
    "opening of control": (
        Strike("control", "opening", "flip", at=7),
        "it is no Ramferry that takes migrations at relay:",
    ),
}


@pytest.mark.parametrize("method", ["none", "zlib"])
@pytest.mark.parametrize("what", STRIKES)
def test_a_change_is_found_before_the_switchover_and_named(
    tmp_path: Path, what: str, method: str
) -> None:
    """By the relay that finds it, and in the source's result; both carry the next migration."""
    strike, sentence = STRIKES[what]
    with pair_with(UnitMeddler, tmp_path, method) as both:
        both.meddler.strike = strike
        result = both.stage.fail(both.near, Script(GUEST))
        assert both.meddler.struck.is_set()
        assert re.search(sentence, result.error), result.error
        if strike.kind != "control":
            assert result.exit_code == PROTOCOL
            assert both.far.seen.notes or re.search(sentence, both.far.finished().error)
        both.meddler.strike = None
        both.stage.carry(both.near, Script(GUEST), 2)


@pytest.mark.parametrize("kind", ["main", "multifd"])
def test_a_token_that_is_changed_is_of_no_migration(tmp_path: Path, kind: str) -> None:
    with pair_with(UnitMeddler, tmp_path, "none") as both:
        both.meddler.strike = Strike(kind, "opening", "flip", at=20)
        both.stage.fail(both.near, Script(GUEST))
        assert any("belongs to no migration" in note for note in both.far.seen.notes)
        both.meddler.strike = None
        both.stage.carry(both.near, Script(GUEST), 2)


@pytest.mark.parametrize("at", [10, 700, 1344, 1400, -1])
@pytest.mark.parametrize("nth", [0, 5])
def test_a_channel_that_is_cut_fails_it(tmp_path: Path, at: int, nth: int) -> None:
    with pair_with(UnitMeddler, tmp_path, "none") as both:
        both.meddler.strike = Strike("multifd", "packet", "cut", nth, at=at)
        result = both.stage.fail(both.near, Script(GUEST))
        assert re.search(CHANNEL, result.error)
        both.meddler.strike = None
        both.stage.carry(both.near, Script(GUEST), 2)


@pytest.mark.parametrize("at", [5, 16, 20])
@pytest.mark.parametrize("what", ["data", "mark"])
def test_a_main_that_is_cut_fails_it(tmp_path: Path, what: str, at: int) -> None:
    with pair_with(UnitMeddler, tmp_path, "none") as both:
        both.meddler.strike = Strike("main", what, "cut", 2, at=at)  # type: ignore[arg-type]
        result = both.stage.fail(both.near, Script(GUEST))
        assert "main" in result.error
        both.meddler.strike = None
        both.stage.carry(both.near, Script(GUEST), 2)


@pytest.mark.parametrize("at", [20, 280, 3000, -1])
def test_a_devices_state_that_is_changed_does_not_reach_a_destination(
    tmp_path: Path, at: int
) -> None:
    """It comes behind the last round."""
    with pair_with(UnitMeddler, tmp_path, "none") as both:
        both.meddler.strike = Strike("multifd", "device", "flip", at=at)
        result = both.stage.fail(both.near, Script(GUEST))
        assert re.search(CHANNEL, result.error), result.error
        assert result.exit_code == PROTOCOL
        both.meddler.strike = None
        both.stage.carry(both.near, Script(GUEST), 2)


@pytest.mark.parametrize("how", ["flip", "drop", "double"])
@pytest.mark.parametrize("nth", [0, 1, 3])
def test_a_change_on_the_way_back_never_makes_two_guests(
    tmp_path: Path, how: str, nth: int
) -> None:
    """A pong for each mark. It may be seen in the switchover only, where the far end is asked."""
    with pair_with(UnitMeddler, tmp_path, "none") as both:
        both.meddler.strike = Strike("main", "data", how, nth, at=-2, way="back")  # type: ignore[arg-type]
        script = Script(GUEST)
        with (
            both.stage.destination(script.guest) as destination,
            both.stage.source(both.near, script) as source,
        ):
            result = both.near.finished()
            # several pongs may go back in one frame
            assert both.meddler.struck.is_set() or nth
            until(source.ended.is_set, NOTICE)
            until(destination.all_ended, NOTICE)
            assert (source.status == "completed") == destination.complete == result.completed
        if not result.completed:
            assert re.match(f"return path: {FRAME}", result.error)
            assert result.exit_code == PROTOCOL
        both.meddler.strike = None
        both.stage.carry(both.near, Script(GUEST), 2)


# --- codecs


def test_an_encoder_that_gives_other_pages_is_to_be_suspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = ZstdEncoder.encode

    def wrong(self: ZstdEncoder, pages: memoryview) -> object:
        other = bytearray(pages)
        other[4097] ^= 1
        return encode(self, memoryview(other))

    monkeypatch.setattr(ZstdEncoder, "encode", wrong)
    with pair(tmp_path, "zstd") as both:
        result = both.stage.fail(both.near, Script(GUEST))
        monkeypatch.undo()
        both.stage.carry(both.near, Script(GUEST), 2)
    assert re.search(
        rf"{CHANNEL} packet 1: expected the source's pages of block 'pc\.ram', received others from"
        " a payload that came as it was sent: the codec, or the device that did its work, at either"
        " end is to be suspected",
        result.error,
    )
    assert result.exit_code == PROTOCOL


def test_a_decoder_that_fails_now_and_then_is_found_at_its_packet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, calls = ZstdDecoder.decode, []

    def wrong(self: ZstdDecoder, payload: memoryview, pages: memoryview) -> None:
        decode(self, payload, pages)
        calls.append(len(pages))
        if len(calls) == 6:
            pages[len(pages) - 1] ^= 1

    monkeypatch.setattr(ZstdDecoder, "decode", wrong)
    with pair(tmp_path, "zstd") as both:
        result = both.stage.fail(both.near, Script(GUEST))
    assert "the codec, or the device that did its work" in result.error
    assert result.exit_code == PROTOCOL


# --- main that cannot be parsed


def test_marks_that_are_not_held_are_passed_without_a_digest(tmp_path: Path) -> None:
    """The source's relay does not hold them any more, the destination's still does."""
    script = Script(Guest(method="none"))
    with pair(tmp_path, "zstd") as both:

        def opened() -> None:
            until(lambda: both.near.session is not None and both.near.session.gate.passed == 1)
            both.near.session.gate.open()

        script.insert(script.find("part", MAIN), Do(opened))
        both.stage.carry(both.near, script)
        assert not both.near.finished().gated
        assert both.far.finished().gated
