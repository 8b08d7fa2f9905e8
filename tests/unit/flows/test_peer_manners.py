"""A Ramferry that connects, agrees, and then does something else; and one that keeps its word."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from fakes_ramferry import HELLO, FakeRamferry, Manners, without
from fakes_relay import NOTICE, SETTLE, RelayThread, Stage, until
from fakes_source import LONG_STALL
from fakes_wire import MAIN, Do, Guest, Script, Step
from ramferry.codec import METHODS
from ramferry.flows.peer import control as control_module
from ramferry.flows.peer.agreement import UNVERIFIED
from ramferry.metrics import RelayResult
from ramferry.transport.address import RelayAddress, UnixAddress
from ramferry.wire.relay_messages import Failed, headed
from ramferry.wire.relay_opening import Kind, Opening

GUEST = Guest(method="none", zeros=1)
FAILED, PROTOCOL = 5, 7


@dataclass
class Scene:
    """A relay to which Ramferrys connect, and a destination's place."""

    stage: Stage
    relay: RelayThread
    nth: int = 0
    sources: list[FakeRamferry] = field(default_factory=list)

    @contextlib.contextmanager
    def source(self, script: Script, manners: Manners | None = None) -> Iterator[FakeRamferry]:
        running = FakeRamferry(self.relay.address, script, manners)
        self.sources.append(running)
        try:
            yield running
        finally:
            running.close()

    def carry(self, script: Script, manners: Manners | None = None) -> RelayResult:
        """A good migration."""
        self.nth += 1
        with self.stage.destination(script.guest) as destination, self.source(script, manners) as s:
            result = self.relay.finished(self.nth)
            assert result.error == ""
            assert s.status == "completed"
            until(destination.all_ended, NOTICE)
        assert destination.faults == []
        assert destination.complete
        assert destination.memory == script.memory
        assert destination.methods <= {self.stage.settings.method}
        return result

    def fail(self, script: Script, manners: Manners) -> RelayResult:
        """One that must fail before the destination could start its guest, and be told."""
        self.nth += 1
        with self.stage.destination(script.guest) as destination, self.source(script, manners) as s:
            result = self.relay.finished(self.nth)
            assert s.done.wait(SETTLE)
            until(s.ended.is_set, NOTICE)
            assert s.status == "failed"
            destination.released.set()
            until(destination.all_ended, NOTICE)
        assert not destination.complete
        assert not result.completed
        told = [one for one in s.heard if isinstance(one, Failed)]
        assert [(one.error, one.exit_code) for one in told] == [(result.error, result.exit_code)]
        return result


@contextlib.contextmanager
def scene(folder: Path, method: str = "zlib", **settings: object) -> Iterator[Scene]:
    stage = Stage(folder, method=method, **settings)
    stage.change(listen=RelayAddress(UnixAddress(str(folder / "relay"))))
    with RelayThread(stage.settings) as relay:
        yield Scene(stage, relay)


@pytest.mark.parametrize("zeros", [0, 2])
@pytest.mark.parametrize("device_state", [0, 70_000])
def test_one_that_keeps_its_word(tmp_path: Path, zeros: int, device_state: int) -> None:
    with scene(tmp_path) as on:
        guest = Guest(method="none", zeros=zeros, device_state=device_state, packets=4)
        result = on.carry(Script(guest))
    assert result.agreed_in is not None
    assert (result.agreed_in.far, result.agreed_in.digest) == ("9.9", "xxh3-128")


# --- another method from packet to packet


@pytest.mark.parametrize("seals", [True, False])
@pytest.mark.parametrize("method_out", ["none", "zlib", "zstd"])
def test_a_method_per_packet_becomes_one_method(
    tmp_path: Path, method_out: str, seals: bool
) -> None:
    """Also where one of them is the destination's, whose stream does not go on from packet to
    packet here."""
    turn = ("zstd", "none", "zlib", "zlib", "none", "zstd", "zstd", "qatzip")
    hello = HELLO if seals else without(HELLO, digests=())
    script = Script(Guest(method="none", packets=6, rounds=5, pages=3, zeros=2, channels=3))
    with scene(tmp_path, method_out) as on:
        result = on.carry(script, Manners(hello=hello, seals=seals, methods=turn))
        on.carry(Script(GUEST))
        assert on.relay.seen.notes.count(UNVERIFIED) == (0 if seals else 1)
    assert set(result.method_in.split(", ")) == {"zstd", "none", "zlib", "qatzip"}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_stays_the_same_is_carried_as_well(tmp_path: Path, method: str) -> None:
    with scene(tmp_path, method) as on:
        on.carry(Script(Guest(method="none")), Manners(methods=(method,)))


def test_a_method_per_packet_that_was_not_agreed_on_is_refused(tmp_path: Path) -> None:
    hello = without(HELLO, method_per_packet=False)
    with scene(tmp_path) as on:
        result = on.fail(Script(GUEST), Manners(hello=hello, methods=("zstd", "none")))
    assert re.search(
        "method zstd .*, received (method )?none|none .*, received .*zstd", result.error
    )


# --- what it does otherwise


CASES = {
    "no marks": (Manners(marks=lambda *_: None), "main: expected the digest that was agreed, bef"),
    "marks of another index": (
        Manners(marks=lambda index, digest: (index + 1, digest)),
        "main: expected the digest that was agreed, before sync mark 0, received none",
    ),
    "another digest": (
        Manners(marks=lambda index, digest: (index, digest if index < 2 else digest[::-1])),
        "main: expected all packets before sync mark 2 as they were sent, received others: the link"
        " between the hosts is to be suspected",
    ),
    "no digests": (Manners(seals=False), "multifd [01] packet 0: expected the header as sent"),
}


@pytest.mark.parametrize("what", CASES)
def test_what_was_agreed_and_is_not_done_fails_it(tmp_path: Path, what: str) -> None:
    manners, sentence = CASES[what]
    with scene(tmp_path) as on:
        result = on.fail(Script(GUEST), manners)
        assert re.match(sentence, result.error), result.error
        assert result.exit_code == PROTOCOL
        on.carry(Script(GUEST))


def wrong(of: Kind) -> Manners:
    return Manners(token=lambda kind, token: token[::-1] if kind is of else token)


def test_main_with_another_token_is_no_migration(tmp_path: Path) -> None:
    with scene(tmp_path) as on:
        with on.source(Script(GUEST), wrong(Kind.MAIN)) as source:
            until(source.ended.is_set, NOTICE)
            until(lambda: bool(on.relay.seen.notes))
        assert any("belongs to no migration that was agreed on" in n for n in on.relay.seen.notes)
        on.carry(Script(GUEST))


def at(what: str, where: int, do: object, nth: int = 0) -> Manners:
    """Do something before a step."""
    seen: list[Step] = []

    def before(source: FakeRamferry, step: Step) -> None:
        if (step.what, step.where) == (what, where):
            seen.append(step)
            if len(seen) == nth + 1:
                do(source)  # type: ignore[operator]

    return Manners(before=before)


def another(kind: Kind, first: bytes = b"") -> object:
    def come(source: FakeRamferry) -> None:
        with contextlib.closing(source.opened(kind)) as sock, contextlib.suppress(OSError):
            sock.sendall(first)
            sock.settimeout(SETTLE)
            assert not sock.recv(1)

    return come


def channel_again(source: FakeRamferry) -> None:
    initial = source.script.steps[source.script.find("initial", 1)]
    assert isinstance(initial, Step)
    another(Kind.MULTIFD, initial.data)(source)  # type: ignore[operator]


def later(on: Scene, do: object) -> Manners:
    """Do something once the migration has all its connections."""

    def once_gathered(source: FakeRamferry) -> None:
        on.relay.gathered()
        do(source)  # type: ignore[operator]

    return at("part", MAIN, once_gathered)


def test_a_second_main_before_the_first_mark_fails_it(tmp_path: Path) -> None:
    with scene(tmp_path) as on:
        result = on.fail(Script(GUEST), at("start", MAIN, another(Kind.MAIN)))
        assert result.error == "main: expected one main, received another one"
        assert result.exit_code == PROTOCOL
        on.carry(Script(GUEST))


def test_a_second_main_of_one_that_is_under_way_changes_nothing(tmp_path: Path) -> None:
    with scene(tmp_path) as on:
        on.carry(Script(GUEST), later(on, another(Kind.MAIN)))
        assert any("opened a migration's main again" in note for note in on.relay.seen.notes)


def test_a_channel_that_comes_twice_fails_it(tmp_path: Path) -> None:
    with scene(tmp_path) as on:
        result = on.fail(Script(GUEST), at("start", MAIN, channel_again))
        assert result.error.startswith("multifd 1")
        assert "expected each channel id once, received this one twice" in result.error
        assert result.exit_code == PROTOCOL
        on.carry(Script(GUEST))


def test_a_channel_that_comes_twice_later_changes_nothing(tmp_path: Path) -> None:
    with scene(tmp_path) as on:
        on.carry(Script(GUEST), later(on, channel_again))


def test_a_channel_that_opens_and_says_something_else_fails_it(tmp_path: Path) -> None:
    def other(source: FakeRamferry) -> None:
        another(Kind.MULTIFD, b"GET / HTTP/1.1\r\n")(source)  # type: ignore[operator]

    with scene(tmp_path) as on:
        result = on.fail(Script(GUEST), at("start", MAIN, other))
        assert "opened as another kind of channel and began with 47455420" in result.error
        on.carry(Script(GUEST))


def test_a_control_connection_that_ends_in_the_middle_is_no_fault(tmp_path: Path) -> None:
    def hang_up(source: FakeRamferry) -> None:
        source.control.shutdown(socket.SHUT_RDWR)

    with scene(tmp_path) as on:
        on.carry(Script(GUEST), at("part", MAIN, hang_up))


@pytest.mark.parametrize(
    "raw", [(1 << 30).to_bytes(4, "big") + bytes(8), headed(b"hello")], ids=["gigabyte", "no JSON"]
)
def test_nonsense_on_control_fails_it(tmp_path: Path, raw: bytes) -> None:
    def talks(source: FakeRamferry) -> None:
        source.control.sendall(raw)
        until(lambda: bool(source.heard))  # else the migration may be over before it is read

    with scene(tmp_path) as on:
        result = on.fail(Script(GUEST), at("part", MAIN, talks))
        assert result.error.startswith("control: expected a message")
        assert result.exit_code == PROTOCOL
        on.carry(Script(GUEST))


def test_its_own_failure_is_the_relays(tmp_path: Path) -> None:
    def gives_up(source: FakeRamferry) -> None:
        source.says(Failed("its QEMU is gone", 5))
        until(lambda: bool(on.relay.seen.results))

    with scene(tmp_path) as on, on.stage.destination(GUEST) as destination:
        with on.source(Script(GUEST), later(on, gives_up)) as source:
            result = on.relay.finished()
            until(source.ended.is_set, NOTICE)
        assert result.error == "the far end gave it up: its QEMU is gone"
        assert result.exit_code == FAILED
        until(destination.all_ended, NOTICE)
        assert not destination.complete


def test_one_that_falls_silent_after_its_hello_is_in_nobodys_way(tmp_path: Path) -> None:
    """Its main never comes."""
    script = Script(GUEST)
    script.steps = [Do(lambda: None)]
    with scene(tmp_path) as on, on.source(script):
        on.carry(Script(GUEST))


def test_one_that_falls_silent_before_its_main_has_begun(tmp_path: Path) -> None:
    """Longer than the stall limit, as one that is stopped: its migration is then carried."""
    script = Script(GUEST)
    with scene(tmp_path, stall_timeout=LONG_STALL) as on:
        pause = at("header", MAIN, lambda _: threading.Event().wait(1.5 * LONG_STALL))
        on.carry(script, pause)


# --- others at a relay: port, and the other way round


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        (b"QEVM\0\0\0\3", "is no Ramferry, but a QEMU's main channel: listen for that at"),
        (b"\x11\x22\x33\x44" + bytes(60), "is no Ramferry, but a QEMU's multifd channel: "),
        (b"\x16\x03\x01\x02\x00", "began TLS, and this address is in clear: listen at tls: "),
        (b"GET / HTTP/1.1\r\n\r\n", "is no Ramferry, but a web client"),
        (b"SSH-2.0-x\r\n", "is no Ramferry, but an SSH server or client"),
        (b"RFRY\0\7" + bytes(18), "is no Ramferry of this version: expected opening version 1"),
        (b"RFRY\0\1\x09" + bytes(17), "is no Ramferry of this version: .* received kind 9"),
    ],
)
def test_who_calls_at_a_relay_address_instead(tmp_path: Path, first: bytes, sentence: str) -> None:
    with scene(tmp_path) as on:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(tmp_path / "relay"))
            caller.sendall(first)
            caller.settimeout(SETTLE)
            with contextlib.suppress(ConnectionResetError):
                assert not caller.recv(1)
        until(lambda: bool(on.relay.seen.notes))
        assert re.match(rf"refused a connection of [^:]+: it {sentence}", on.relay.seen.notes[0])
        on.carry(Script(GUEST))


def test_a_ramferry_at_a_tcp_address_is_told_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        assert isinstance(stage.settings.listen, UnixAddress)
        with pytest.raises(ConnectionResetError):
            FakeRamferry(RelayAddress(stage.settings.listen), Script(GUEST))
        until(lambda: bool(relay.seen.notes))
        assert [note.partition(": ")[2] for note in relay.seen.notes] == [
            "it is a Ramferry that connects with relay:; listen at relay:HOST:PORT for it"
        ]
        stage.carry(relay, Script(GUEST))


def test_a_hello_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    hello = msgspec.structs.replace(HELLO, protocol=(5, 6))
    with scene(tmp_path) as on:
        with on.source(Script(GUEST), Manners(hello=hello)) as source:
            assert source.token == bytes(16)
        # it does not heed it
        sentence = "Ramferry 9.9 there speaks version 5 to 6"
        until(lambda: any(sentence in note for note in on.relay.seen.notes))


@pytest.mark.parametrize(
    "said",
    [b"", b"RFRY", Opening(Kind.CONTROL).encode(), Opening(Kind.CONTROL).encode() + bytes(3)],
    ids=["nothing", "half an opening", "an opening", "half a head"],
)
def test_a_relay_that_is_stopped_in_a_hello_leaves_nothing_behind(
    tmp_path: Path, said: bytes
) -> None:
    """The end of the scene proves it."""
    with socket.socket(socket.AF_UNIX) as caller, scene(tmp_path) as on:
        caller.connect(str(tmp_path / "relay"))
        caller.sendall(said)
        until(lambda: on.relay.relay.arrivals.accepted == 1)
        stopped = time.monotonic()
        on.relay.relay.stop("so it is")
        on.relay.thread.join(SETTLE)
        assert time.monotonic() - stopped < control_module.STALL / 2
