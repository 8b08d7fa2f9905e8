"""Plain streams through a pair of relays: migrations without channels, and anything else."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fakes_plain import opening, plain_pair, precopy, switched
from fakes_relay import RelayThread, Stage, until
from fakes_source import SETTLE, dial
from ramferry.codec import METHODS
from ramferry.vocabulary import AUTO
from ramferry.wire.return_path import shut
from wire_streams import HEADER


@pytest.mark.parametrize("method", [*METHODS, AUTO])
def test_a_migration_without_channels_arrives_byte_for_byte(tmp_path: Path, method: str) -> None:
    with plain_pair(tmp_path, method) as pair:
        pair.carries(1)
        pair.carries(2)
        assert pair.near.finished(2).channels == 0


def test_the_far_end_is_not_connected_before_it_is_known_what_comes(tmp_path: Path) -> None:
    data = precopy()
    with plain_pair(tmp_path) as pair, pair.source() as source:
        source.send(data[:60])
        assert pair.never_connected()
        source.send(data[60:])
        with pair.destination() as destination:
            destination.has(len(data))
            assert destination.got == data
            destination.send(shut())
            source.has(8)
            source.finish()
            assert destination.ended.wait(SETTLE)
        assert pair.near.finished().completed
        assert pair.far.finished().completed


def test_alone_a_relay_refuses_it_and_says_what_could_carry_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        listener = socket.socket(socket.AF_UNIX)
        with listener, dial(relay.address) as source:
            listener.bind(str(tmp_path / "destination"))
            listener.listen()
            source.sendall(precopy())
            error = relay.finished().error
    assert "opened no multifd channel" in error
    assert "a second Ramferry before the destination" in error
    assert "--parallel --parallel-connections" in error


def test_postcopy_goes_through(tmp_path: Path) -> None:
    before, behind = switched()
    request = b"\0\4\0\x0c" + bytes(8) + b"\0\0\x10\0"
    with plain_pair(tmp_path) as pair, pair.source() as source:
        source.send(before)
        with pair.destination() as destination:
            destination.has(len(before))
            source.send(behind[:-1])
            destination.has(len(before + behind) - 1)
            destination.send(request)
            source.has(len(request))
            source.send(behind[-1:])
            destination.has(len(before + behind))
            destination.send(shut())
            source.has(len(request) + 8)
            source.finish()
            assert destination.ended.wait(SETTLE)
            assert destination.got == before + behind
        for relay in (pair.near, pair.far):
            assert relay.finished().completed, relay.finished().error


@pytest.mark.parametrize("who", ["source", "destination"])
def test_behind_the_switch_to_postcopy_a_loss_is_a_reset_at_both_ends(
    tmp_path: Path, who: str
) -> None:
    before, behind = switched()
    with plain_pair(tmp_path) as pair:
        with pair.source() as source:
            source.send(before + behind[:-1])
            with pair.destination() as destination:
                destination.has(len(before + behind) - 1)
                (source if who == "source" else destination).reset()
                assert source.ended.wait(SETTLE)
                assert destination.ended.wait(SETTLE)
        for relay in (pair.near, pair.far):
            error = relay.finished().error
            assert "had switched to postcopy" in error
            assert "guest runs" not in error
            assert "stays at the source" not in error
        pair.carries(2)


@pytest.mark.parametrize("postcopy", [True, False])
def test_a_silent_connection_beside_main_is_refused_only_where_postcopy_may_come(
    tmp_path: Path, postcopy: bool
) -> None:
    """postcopy-preempt's: the destination would wait for it."""
    before = switched()[0] if postcopy else precopy()
    with plain_pair(tmp_path) as pair, pair.source() as source, pair.source():
        source.send(before)
        if postcopy:
            assert source.ended.wait(SETTLE)
            assert "as with postcopy-preempt" in pair.near.finished().error
            assert pair.never_connected()
        else:
            with pair.destination() as destination:
                destination.has(1)


@pytest.mark.parametrize("postcopy", [True, False])
def test_one_that_comes_late_is_refused_as_well(tmp_path: Path, postcopy: bool) -> None:
    """QEMU dials it aside, and does not wait for it before it sends main."""
    before = switched()[0] if postcopy else precopy()
    with plain_pair(tmp_path) as pair, pair.source() as source:
        source.send(before[:-1])
        with pair.destination() as destination:
            destination.has(1)
            with pair.source():
                assert source.ended.wait(SETTLE if postcopy else 4.0) is postcopy
            if postcopy:
                assert "as with postcopy-preempt" in pair.near.finished().error


def test_without_a_return_path_it_is_refused_and_the_option_named(tmp_path: Path) -> None:
    with plain_pair(tmp_path) as pair, pair.source() as source:
        source.send(precopy(return_path=False))
        assert source.ended.wait(SETTLE)
        error = pair.near.finished().error
        assert "opened no return path" in error
        assert "--allow-no-return-path" in error
        assert pair.never_connected()


def test_without_a_return_path_where_that_is_allowed(tmp_path: Path) -> None:
    data = precopy(return_path=False)
    with plain_pair(tmp_path, near={"allow_no_return_path": True}) as pair:
        with pair.source() as source:
            source.send(data)
            source.finish()
            with pair.destination() as destination:
                assert destination.ended.wait(SETTLE)
                assert destination.got == data
        for relay in (pair.near, pair.far):
            assert relay.finished().completed, relay.finished().error
        assert any("nobody tells whether" in one for one in pair.near.seen.notes)


def test_what_cannot_be_parsed_is_carried_as_bytes(tmp_path: Path) -> None:
    data = bytearray(precopy())
    at = data.index(b"\x7e\0\0\0\2")
    data[at] = 0x55  # ram's START has no footer, as from old machine types
    with plain_pair(tmp_path) as pair:
        pair.carries(1, bytes(data))
        assert any("not parsed" in one for one in pair.near.seen.notes)


def test_a_stream_of_another_version_is_carried_as_bytes(tmp_path: Path) -> None:
    data = HEADER[:-1] + b"\2" + opening() + bytes(1000)
    with plain_pair(tmp_path) as pair, pair.source() as source:
        source.send(data)
        with pair.destination() as destination:
            destination.has(len(data))
            destination.send(b"whatever it answers")
            source.has(19)
            source.finish()
            assert destination.ended.wait(SETTLE)
            destination.finish()
            assert destination.got == data
            assert source.ended.wait(SETTLE)
        assert pair.near.finished().completed
        assert pair.far.finished().completed


def test_any_other_stream_is_carried_with_its_half_closes(tmp_path: Path) -> None:
    with plain_pair(tmp_path) as pair:
        for nth in (1, 2):
            with pair.source() as source:
                source.send(b"POST / HTTP/1.1\r\n\r\n" + b"x" * 300_000)
                source.finish()
                with pair.destination() as destination:
                    assert destination.ended.wait(SETTLE)
                    assert len(destination.got) == 300_019
                    destination.send(b"y" * 500_000)
                    source.has(500_000)
                    assert not source.ended.is_set()
                    destination.finish()
                    assert source.ended.wait(SETTLE)
            for relay in (pair.near, pair.far):
                assert relay.finished(nth).completed, relay.finished(nth).error


def test_the_far_side_of_any_stream_may_end_first(tmp_path: Path) -> None:
    with plain_pair(tmp_path) as pair, pair.source() as source:
        source.send(b"hello")
        with pair.destination() as destination:
            destination.has(5)
            destination.finish()
            assert source.ended.wait(SETTLE)
            source.send(b" again")
            source.finish()
            assert destination.ended.wait(SETTLE)
            assert destination.got == b"hello again"
        assert pair.near.finished().completed


@pytest.mark.parametrize("who", ["source", "destination"])
def test_a_reset_of_any_stream_is_one_at_the_other_end(tmp_path: Path, who: str) -> None:
    with plain_pair(tmp_path, tcp=True) as pair, pair.source() as source:
        source.send(b"hello, this is a stream")
        with pair.destination() as destination:
            destination.has(5)
            hit, other = (source, destination) if who == "source" else (destination, source)
            hit.reset()
            assert other.ended.wait(SETTLE)
        for relay in (pair.near, pair.far):
            error = relay.finished().error
            assert error
            assert "guest" not in error


def test_a_silent_connection_goes_nowhere_unless_any_stream_is_carried(tmp_path: Path) -> None:
    with plain_pair(tmp_path) as pair, pair.source():
        assert pair.never_connected()


def test_with_any_stream_the_server_may_speak_first(tmp_path: Path) -> None:
    with plain_pair(tmp_path, near={"any_stream": True}, any_stream=True) as pair:
        for nth in (1, 2):
            with pair.source() as source, pair.destination() as destination:
                destination.send(b"NBDMAGIC")
                source.has(8)
                source.send(b"ok")
                destination.has(2)
                source.finish()
                assert destination.ended.wait(SETTLE)
                destination.finish()
                assert source.ended.wait(SETTLE)
            assert pair.near.finished(nth).completed
            assert pair.far.finished(nth).completed


def test_both_relays_have_to_agree_to_any_stream(tmp_path: Path) -> None:
    with plain_pair(tmp_path, near={"any_stream": True}) as pair, pair.source() as source:
        assert source.ended.wait(SETTLE)
        assert "--any-stream" in pair.near.finished().error
        assert pair.never_connected()


def test_a_web_client_is_no_stream_unless_any_stream_is_carried(tmp_path: Path) -> None:
    with plain_pair(tmp_path) as pair, pair.source() as source:
        source.send(b"GET / HTTP/1.1\r\n")
        assert source.ended.wait(SETTLE)
        until(lambda: bool(pair.near.seen.notes))
        assert "--any-stream" in pair.near.seen.notes[0]
        assert pair.never_connected()


def test_tls_is_refused_with_a_sentence_that_names_tls(tmp_path: Path) -> None:
    with plain_pair(tmp_path) as pair, pair.source() as source:
        source.send(b"\x16\x03\x01\x02\x00\x01\x00")
        assert source.ended.wait(SETTLE)
        until(lambda: bool(pair.near.seen.notes))
        assert "cannot be compressed" in pair.near.seen.notes[0]
        assert "tls:" in pair.near.seen.notes[0]
        assert pair.never_connected()
