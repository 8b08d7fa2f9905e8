"""Whoever else calls: port probes, TLS, HTTP, second sources. None of them touches a migration."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from fakes_relay import RelayThread, Stage, until
from fakes_source import SETTLE, at_end, dial
from fakes_wire import MAIN, Do, Guest, Script, Step, command, configuration, device, header
from ramferry.flows.inlet import lobby, waiting
from ramferry.flows.inlet.main import MainInlet
from ramferry.flows.session import footprint as memory
from ramferry.wire.packets import Initial


def probe(relay: RelayThread) -> None:
    dial(relay.address).close()


def speak(relay: RelayThread, data: bytes) -> None:
    """Say something; the relay must end the connection."""
    with dial(relay.address) as sock:
        sock.sendall(data)
        until(lambda: at_end(sock), what="the relay ends the connection")


STRANGERS: dict[str, tuple[bytes, str]] = {
    "TLS": (
        bytes.fromhex("16030100ee010000"),
        "it began TLS, and this address is in clear: listen at",
    ),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "began with 47455420, which is no migration channel"),
    "wrong main magic": (b"QEVN\0\0\0\3", "began with 5145564e, which is no migration channel"),
    "wrong multifd version": (
        bytes.fromhex("11223344 00000002") + bytes(56),
        "is no multifd channel of ours: expected multifd version 1, received version 2",
    ),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    data, sentence = STRANGERS[name]
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        speak(relay, data)
        until(lambda: bool(relay.seen.notes))
        assert relay.seen.notes[0].startswith("refused a connection of ")
        assert sentence in relay.seen.notes[0]
        assert not relay.seen.results
        stage.carry(relay, Script(Guest()))


@pytest.mark.parametrize("tcp", [False, True])
def test_port_probes_before_during_and_after(tmp_path: Path, tcp: bool) -> None:
    stage = Stage(tmp_path)
    if tcp:
        stage.over_tcp()
    script = Script(Guest())
    strangers = [data for data, _ in STRANGERS.values()]
    with RelayThread(stage.settings) as relay:

        def disturb() -> None:
            probe(relay)
            for data in strangers:
                speak(relay, data)

        disturb()
        for what in ("preamble", "start", "part", "end", "tail"):
            script.insert(script.find(what), Do(disturb))
        destination = stage.carry(relay, script)
        assert destination.connections == 3
        disturb()
        stage.carry(relay, Script(Guest()), 2)


@pytest.mark.parametrize("channels", [None, 2])
def test_a_silent_connection_delays_the_first_mark_by_the_grace_at_most(
    tmp_path: Path, channels: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lobby, "PROBE_GRACE", 0.2)
    stage = Stage(tmp_path, channels=channels)
    with RelayThread(stage.settings) as relay, dial(relay.address) as silent:
        stage.carry(relay, Script(Guest()))
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.recv(1)


def test_a_connection_that_stays_silent_is_turned_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        with dial(relay.address) as silent, dial(relay.address) as half:
            half.sendall(b"\x11\x22\x33\x44" + bytes(7))
            with dial(relay.address) as motherless:
                motherless.sendall(Initial(bytes(16), 5).encode())
                until(lambda: relay.waiting() == {5})
                monkeypatch.setattr(lobby, "SILENCE", 0.1)
                monkeypatch.setattr(waiting, "SILENCE", 0.1)
                until(lambda: at_end(motherless))
            until(lambda: at_end(silent) and at_end(half))
        notes = "\n".join(relay.seen.notes)
        assert "sent 0 bytes in 0 s" in notes
        assert "sent 11 bytes in 0 s" in notes
        assert "refused multifd 5, which was without its main channel for 0 s" in notes
        assert not relay.waiting()


def test_a_crowd_of_silent_connections_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lobby, "MOST_CALLERS", 4)
    monkeypatch.setattr(lobby, "PROBE_GRACE", 0.1)
    stage = Stage(tmp_path)
    crowd: list[socket.socket] = []
    with RelayThread(stage.settings) as relay:
        try:
            crowd += [dial(relay.address) for _ in range(12)]
            until(lambda: sum(map(at_end, crowd)) == 8)
            stage.carry(relay, Script(Guest()))
        finally:
            for sock in crowd:
                sock.close()


@pytest.mark.parametrize("when", ["start", "part", "end", "tail"])
def test_a_second_source_does_not_disturb_the_first(tmp_path: Path, when: str) -> None:
    """Its main is turned away, and so are its channels once the first source's are all here."""
    stage = Stage(tmp_path)
    script = Script(Guest())
    with RelayThread(stage.settings) as relay:

        def second() -> None:
            speak(relay, header())
            if when != "start":
                relay.gathered()
                speak(relay, Initial(bytes(16), 0).encode())
                speak(relay, Initial(bytes(range(16)), 9).encode())

        script.insert(script.find(when), Do(second))
        stage.carry(relay, script)
        notes = "\n".join(relay.seen.notes)
        assert "refused a second migration while one is under way" in notes
        if when != "start":
            assert "refused a second multifd 0 in a migration under way" in notes
            assert "refused a second multifd 9 in a migration under way" in notes


def test_a_channel_too_many_after_the_first_mark(tmp_path: Path) -> None:
    """Its id is new: it may be this source's own, and the destination may wait for it."""
    script = Script(Guest())
    extra = Step(7, Initial(bytes(16), 7).encode())
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:

        def noticed() -> None:
            """The relay's loop may come to it behind all the rest, which takes milliseconds."""
            until(lambda: relay.session is None or relay.session.over.is_set())

        script.insert(script.find("part", MAIN), Do(relay.gathered), extra, Do(noticed))
        result = stage.fail(relay, script)
        assert result.error == (
            "multifd 7: expected 2 channels, received one more after the first sync mark: "
            "pass --channels"
        )
        assert result.exit_code == 7


def test_with_a_number_of_channels_one_more_is_a_second_sources(tmp_path: Path) -> None:
    script = Script(Guest())
    stage = Stage(tmp_path, channels=2)
    with RelayThread(stage.settings) as relay:

        def extra() -> None:
            relay.gathered()
            speak(relay, Initial(bytes(16), 1).encode())

        script.insert(script.find("part", MAIN), Do(extra))
        stage.carry(relay, script)


def test_a_source_that_gives_up_before_its_main_spoke_leaves_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        socks = [dial(relay.address) for _ in range(3)]
        for channel, sock in enumerate(socks[1:]):
            sock.sendall(Initial(bytes(16), channel).encode())
        until(lambda: relay.waiting() == {0, 1})
        for sock in socks:
            sock.close()
        until(lambda: not relay.waiting())
        stage.carry(relay, Script(Guest()))


def test_nothing_is_connected_onward_before_a_main_spoke(tmp_path: Path) -> None:
    """A silent connection freezes a real destination's monitor."""
    stage = Stage(tmp_path)
    script = Script(Guest())
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest) as destination,
    ):
        probe(relay)
        speak(relay, b"GET / HTTP/1.0\r\n")
        with dial(relay.address) as channel:
            channel.sendall(Initial(bytes(16), 0).encode())
            until(lambda: relay.waiting() == {0})
            threading.Event().wait(0.05)
            assert destination.connections == 0


@pytest.mark.parametrize("early", [b"", device(1, size=10_000)])
def test_a_stream_that_cannot_be_carried_is_refused_before_the_destination_hears_of_it(
    tmp_path: Path, early: bytes
) -> None:
    """Also where the first section is so long that ram's has not come yet."""
    script = Script(Guest(preamble=Guest().preamble[:2], early=early))
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        with (
            stage.destination(script.guest) as destination,
            stage.source(relay, script) as source,
        ):
            assert "opened no return path" in relay.finished().error
            assert source.done.wait(SETTLE)
            assert destination.connections == 0
        stage.carry(relay, Script(Guest()), 2)


def test_a_preamble_that_trickles_holds_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 000 bytes, each in a piece of its own."""
    stage = Stage(tmp_path)
    receive = MainInlet._receive
    monkeypatch.setattr(MainInlet, "_receive", lambda self, buffer: receive(self, buffer[:1]))
    with RelayThread(stage.settings) as relay, dial(relay.address) as main:
        main.sendall(header() + configuration())
        until(lambda: relay.session is not None)
        before = memory.proportional()
        main.sendall(command(1) * 12_000)
        until(lambda: relay.session.tally.moved >= 60_000)
        assert memory.proportional() - before < 32 << 20
        relay.relay.stop("enough")
        relay.finished()
