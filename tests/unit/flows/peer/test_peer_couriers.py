"""Ramferrys that bring a migration, and do otherwise than was agreed; and those that do more."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from fakes_courier import FEATURES, HELLO, Courier, courier, hear
from fakes_destination import FakeDestination
from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import SETTLE, STALL, at_end
from fakes_two_relays import peer_stage, place_of
from fakes_wire import MAIN, Do, Guest, Script
from ramferry.codec import METHODS
from ramferry.flows.peer import control
from ramferry.metrics import RelayResult
from ramferry.wire.relay_frames import FrameKind
from ramferry.wire.relay_messages import Failed, parse_message
from ramferry.wire.relay_opening import Kind, Opening

GUEST = Guest(method="zlib", zeros=1)


@contextlib.contextmanager
def running(stage: Stage, script: Script, go: Callable[[], None]) -> Iterator[FakeDestination]:
    """A destination, and a courier's part in a thread."""
    with stage.destination(script.guest) as destination:
        thread = threading.Thread(target=go)
        thread.start()
        try:
            yield destination
        finally:
            thread.join(SETTLE)
            assert not thread.is_alive()


def brought(stage: Stage, relay: RelayThread, one: Courier, script: Script) -> FakeDestination:
    """A courier's good migration."""
    answers: list[int | None] = []

    def go() -> None:
        one.run(script)
        answers.append(one.told())

    with running(stage, script, go) as destination:
        assert relay.finished().error == ""
        until(destination.all_ended, NOTICE)
    assert answers == [0]
    assert destination.faults == []
    assert destination.memory == script.memory
    return destination


def refused(stage: Stage, relay: RelayThread, one: Courier, script: Script) -> RelayResult:
    """A courier's migration that has to fail; the relay says why on control."""
    with running(stage, script, lambda: one.run(script)) as destination:
        result = relay.finished()
        assert not result.completed
        assert Failed(result.error, result.exit_code) in one.heard()
        until(destination.all_ended, NOTICE)
        assert not destination.complete
        assert len(destination.marks) <= script.guest.rounds
    return result


def test_the_courier_of_these_tests_is_believed(tmp_path: Path) -> None:
    stage = peer_stage(tmp_path)
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:
        brought(stage, relay, one, Script(GUEST))
        agreed = relay.finished().agreed_in
        assert agreed is not None
        assert (agreed.far, agreed.digest, agreed.answers) == ("9.8.7", "xxh3-128", False)


@pytest.mark.parametrize("method_out", ["none", "zstd", "qatzip"])
def test_the_method_changes_from_packet_to_packet(tmp_path: Path, method_out: str) -> None:
    """The destination, a QEMU, gets one."""
    stage = peer_stage(tmp_path, method_out)
    script = Script(Guest(method="none", packets=len(METHODS), pages=3, channels=3))
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:
        one.methods = tuple(METHODS)
        destination = brought(stage, relay, one, script)
        assert destination.methods == {method_out}
        assert set(relay.finished().method_in.split(", ")) == set(METHODS)


def test_who_does_not_offer_it_may_not_change_the_method(tmp_path: Path) -> None:
    stage = peer_stage(tmp_path)
    hello = replace(HELLO, features=replace(FEATURES, method_per_packet=False))
    with RelayThread(stage.settings) as relay, courier(place_of(relay), hello) as one:
        one.methods = ("zlib", "zstd")
        result = refused(stage, relay, one, Script(GUEST))
        assert "method" in result.error
        assert result.exit_code == 7


@pytest.mark.parametrize("mark", [0, 2])
def test_a_mark_that_is_not_announced(tmp_path: Path, mark: int) -> None:
    stage = peer_stage(tmp_path)
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:
        one.skipped = {mark}
        result = refused(stage, relay, one, Script(GUEST))
        wanted = (
            f"main: expected the digest that was agreed, before sync mark {mark}, received none"
        )
        assert (result.error, result.exit_code) == (wanted, 7)


def test_a_mark_with_another_digest(tmp_path: Path) -> None:
    stage = peer_stage(tmp_path)
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:
        one.wrong = {1}
        result = refused(stage, relay, one, Script(GUEST))
        assert result.error.startswith("main: expected all packets before sync mark 1 as they were")
        assert "the link between the hosts" in result.error


@pytest.mark.parametrize("kind", [Kind.MAIN, Kind.MULTIFD])
def test_a_token_that_nobody_knows(tmp_path: Path, kind: Kind) -> None:
    stage = peer_stage(tmp_path)
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:
        stranger = one.open(Opening(kind, bytes(16)).encode())
        until(lambda: at_end(stranger))
        assert relay.seen.notes == [
            "refused a connection that belongs to no migration that was agreed on here"
        ]
        brought(stage, relay, one, Script(GUEST))


@pytest.mark.parametrize("kind", [Kind.MAIN, Kind.MULTIFD])
def test_a_connection_that_comes_twice_before_all_are_there(tmp_path: Path, kind: Kind) -> None:
    stage = peer_stage(tmp_path, channels=2)
    script = Script(GUEST)
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:

        def again() -> None:
            until(lambda: relay.session is not None)
            first = script.stream(0)[:64] if kind is Kind.MULTIFD else b""
            twin = one.open(Opening(kind, one.token).encode() + first)
            until(lambda: at_end(twin))

        script.insert(script.find("initial", 1), Do(again))
        result = refused(stage, relay, one, script)
        twice = {
            Kind.MAIN: "main: expected one main, received another one",
            Kind.MULTIFD: "multifd 0: expected each channel id once, received this one twice",
        }
        assert twice[kind] in result.error or "multifd 0 packet 0" in result.error
        assert result.exit_code == 7


@pytest.mark.parametrize("kind", [Kind.MAIN, Kind.MULTIFD])
def test_a_connection_that_comes_twice_later_is_refused_alone(tmp_path: Path, kind: Kind) -> None:
    stage = peer_stage(tmp_path)
    script = Script(GUEST)
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:

        def again() -> None:
            relay.gathered()
            first = script.stream(0)[:64] if kind is Kind.MULTIFD else b""
            twin = one.open(Opening(kind, one.token).encode() + first)
            until(lambda: at_end(twin))

        script.insert(script.find("part", MAIN), Do(again))
        brought(stage, relay, one, script)
        assert any(note.startswith("refused a connection that") for note in relay.seen.notes)


def test_control_that_ends_before_main_comes(tmp_path: Path) -> None:
    stage = peer_stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        with courier(place_of(relay)) as one:
            one.control.close()
            until(lambda: not relay.relay.arrivals._reception._visits, NOTICE, "it is forgotten")
            main = one.open(Opening(Kind.MAIN, one.token).encode())
            until(lambda: at_end(main))
            assert relay.seen.results == []
        with courier(place_of(relay)) as other:
            brought(stage, relay, other, Script(GUEST))


def test_a_hello_that_never_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "STALL", STALL / 4)
    stage = peer_stage(tmp_path)
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:
        silent = one.open(Opening(Kind.CONTROL).encode())
        until(lambda: at_end(silent))
        assert relay.seen.notes[-1].startswith("refused a migration from")
        assert relay.seen.notes[-1].endswith(": it sends no hello")
        brought(stage, relay, one, Script(GUEST))


def test_a_gigabyte_that_is_announced(tmp_path: Path) -> None:
    stage = peer_stage(tmp_path)
    gigabyte = (1 << 30).to_bytes(4, "big")
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:
        hello = one.open(Opening(Kind.CONTROL).encode() + gigabyte + bytes(8))
        until(lambda: at_end(hello))
        assert "a message of 1 to 65536 bytes, received length 1073741824" in relay.seen.notes[-1]
        main = one.open(Opening(Kind.MAIN, one.token).encode() + gigabyte + bytes(12))
        until(lambda: at_end(main))
        assert "expected frame 0 as it was sent, received 1073741824" in relay.seen.notes[-1]
        told = parse_message(hear(one.control))
        assert isinstance(told, Failed)
        assert told.error.startswith("main: expected frame 0")
        assert "1073741824 bytes" in told.error


@pytest.mark.parametrize("protocol", [(2, 3), (7, 7)])
def test_a_version_that_is_not_spoken_here(tmp_path: Path, protocol: tuple[int, int]) -> None:
    stage = peer_stage(tmp_path)
    theirs = {(2, 3): "version 2 to 3", (7, 7): "version 7"}[protocol]
    with RelayThread(stage.settings) as relay:
        with courier(place_of(relay), replace(HELLO, protocol=protocol)) as one:
            assert one.hello.protocol == (1, 1)
            assert one.token == bytes(16)
            assert one.heard() == []
        (note,) = relay.seen.notes
        for words in (f"Ramferry 9.8.7 there speaks {theirs} of the relay protocol", "here 1"):
            assert words in note
        with courier(place_of(relay)) as other:
            brought(stage, relay, other, Script(GUEST))


STRANGERS = {
    "QEMU's main": (
        b"QEVM\0\0\0\3",
        "is a QEMU's main channel: give the relay an address with tcp:",
    ),
    "QEMU's channel": (
        Script(GUEST).stream(0)[:64],
        "is a QEMU's multifd channel: give the relay an address with tcp:",
    ),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "is a web client"),
    "TLS": (bytes.fromhex("16030100ee010000"), "is a TLS handshake, and this address is in clear"),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", "is an SSH server or client"),
    "another layout": (
        b"RFRY\0\2\1\0" + bytes(16),
        "expected opening version 1, received version 2",
    ),
    "another kind": (b"RFRY\0\1\7\0" + bytes(16), "expected a known kind of connection"),
    "a token too early": (b"RFRY\0\1\1\0" + bytes(15) + b"\1", "expected no token yet"),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_strangers_at_a_port_for_relays(tmp_path: Path, who: str) -> None:
    data, sentence = STRANGERS[who]
    stage = peer_stage(tmp_path)
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:
        stranger = one.open(data)
        until(lambda: at_end(stranger))
        (note,) = relay.seen.notes
        assert sentence in note
        brought(stage, relay, one, Script(GUEST))


def test_what_is_no_message_on_control_fails_it(tmp_path: Path) -> None:
    stage = peer_stage(tmp_path)
    script = Script(GUEST)
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:

        def nonsense() -> None:
            one.control.sendall(bytes(12))
            relay.finished()

        script.insert(script.find("part", MAIN), Do(nonsense))
        result = refused(stage, relay, one, script)
        wanted = "control: expected a message of 1 to 65536 bytes, received length 0"
        assert (result.error, result.exit_code) == (wanted, 7)


def test_the_end_of_main_without_its_end_frame_is_a_cut(tmp_path: Path) -> None:
    stage = peer_stage(tmp_path)
    script = Script(GUEST)
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:
        script.insert(script.find("part", MAIN), Do(lambda: one.main.shutdown(1)))
        result = refused(stage, relay, one, script)
        assert result.error.startswith("main: the source broke the connection")


def test_the_end_frame_in_the_middle(tmp_path: Path) -> None:
    stage = peer_stage(tmp_path)
    script = Script(GUEST)
    with RelayThread(stage.settings) as relay, courier(place_of(relay)) as one:

        def end() -> None:
            one.main.sendall(one.frame(FrameKind.END, b""))

        script.insert(script.find("part", MAIN), Do(end))
        result = refused(stage, relay, one, script)
        assert result.error == "main: the source ended the migration before its last round"
