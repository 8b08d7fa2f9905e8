"""The control connection: messages whole or not at all, and what answers instead of a Ramferry."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

import in_memory
from connecting import SETTLE, taken, until
from leftovers import no_thread_left
from ramferry.errors import PeerUnreachable, RemoteProtocolError
from ramferry.flows.peer import control as control_module
from ramferry.flows.peer.control import Control
from ramferry.wire.relay_messages import Ask, Failed, Hello, Message, Told, encode, headed
from ramferry.wire.relay_opening import Kind, Opening

HELLO = Hello(ramferry="9", protocol=(1, 1))
GIGABYTE = 1 << 30


@dataclass(slots=True)
class Line:
    """A control connection, and the bytes at its far end."""

    control: Control
    far: in_memory.InMemory
    heard: list[Message | None] = field(default_factory=list)

    def says(self, *raw: bytes) -> None:
        self.far.send([b"".join(raw)])

    def listen(self) -> None:
        self.control.listen(self.heard.append)


@pytest.fixture
def line() -> Iterator[Line]:
    near, far = in_memory.joined()
    far.settle(SETTLE)
    control = Control(near)
    with contextlib.closing(control), contextlib.closing(far):
        yield Line(control, far)


def test_a_hello_goes_out_with_its_opening_in_one_piece(line: Line) -> None:
    raw = Opening(Kind.CONTROL).encode() + encode(HELLO)
    assert line.control.say(HELLO, Opening(Kind.CONTROL))
    assert line.far.unread() == len(raw)
    assert taken(line.far, len(raw)) == raw


def test_an_opening_and_a_hello_are_heard(line: Line) -> None:
    opening = Opening(Kind.CONTROL, b"sixteen bytes ok")
    line.says(opening.encode(), encode(HELLO))
    assert line.control.hear_opening() == opening
    assert line.control.hear_hello() == HELLO


def test_messages_are_heard_in_order_however_they_are_cut(line: Line) -> None:
    line.listen()
    messages: list[Message] = [Ask(), Failed("why", 5), Told()]
    for byte in b"".join(map(encode, messages)):
        line.says(bytes([byte]))
    until(lambda: len(line.heard) == 3)
    line.far.finish()
    until(lambda: len(line.heard) == 4)
    assert line.heard == [*messages, None]
    assert line.control.nonsense is None


@pytest.mark.parametrize("kept", [1, 4, 9])
def test_a_message_that_is_cut_is_none(line: Line, kept: int) -> None:
    line.listen()
    line.says(encode(Ask())[:kept])
    line.far.finish()
    until(lambda: line.heard == [None])
    assert line.control.nonsense is None


@pytest.mark.parametrize(
    "raw",
    [
        GIGABYTE.to_bytes(4, "big") + bytes(8),
        (1 << 16 | 1).to_bytes(4, "big") + bytes(8),
        bytes(12),
        headed(b"[]"),
        headed(b'{"kind":"dance"}'),
        headed(b'{"kind":"ask"}').replace(b"ask", b"asK"),
    ],
)
def test_nonsense_ends_it_and_is_kept(line: Line, raw: bytes) -> None:
    line.listen()
    line.says(encode(Ask()), raw, encode(Ask()))
    until(lambda: len(line.heard) == 2)
    assert line.heard == [Ask(), None]
    assert isinstance(line.control.nonsense, RemoteProtocolError)


def test_a_gigabyte_of_json_is_not_received(line: Line) -> None:
    """Neither where it is announced, nor where it simply comes."""
    head = GIGABYTE.to_bytes(4, "big") + bytes(8)
    line.says(Opening(Kind.CONTROL).encode(), head, b"[" * 30_000)
    line.control.hear_opening()
    with pytest.raises(RemoteProtocolError, match="a message of 1 to 65536 bytes, received length"):
        line.control.hear_hello()
    # what came behind the length is still there
    assert line.control._connection.unread() == 30_000


def test_json_as_deep_as_a_message_may_be_is_no_hello(line: Line) -> None:
    deep = b'{"ramferry":"1","protocol":[1,1],"x":' + b"[" * 32_000 + b"]" * 32_000 + b"}"
    line.says(headed(deep))
    with pytest.raises(RemoteProtocolError, match="a message of the relay protocol"):
        line.control.hear_hello()


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it is no Ramferry, but a web server"),
        (b'{"QMP": {}}' + bytes(20), "it is no Ramferry, but a QMP monitor"),
        (b"SSH-2.0-OpenSSH_9.6\r\n123456", "it is no Ramferry, but an SSH server or client"),
        (b"RFRY\0\x02\1\0" + bytes(16), "it is a Ramferry that begins otherwise: .*version 2"),
        (b"", "it is no Ramferry that takes migrations at relay:, .*connect with tcp:"),
        (b"RFRY\0\1", "it is no Ramferry that takes migrations at relay:"),
    ],
)
def test_what_answers_instead_of_a_ramferry_is_named(
    line: Line, first: bytes, sentence: str
) -> None:
    line.says(first)
    line.far.finish()
    with pytest.raises(PeerUnreachable, match=sentence):
        line.control.hear_opening()


@pytest.mark.parametrize("begun", [b"", b"RFRY\0\1"])
def test_who_ends_it_after_tls_may_not_allow_our_certificate(line: Line, begun: bytes) -> None:
    line.says(begun)
    line.far.finish()
    with pytest.raises(PeerUnreachable) as caught:
        line.control.hear_opening("CN=alpha,O=Example")
    assert str(caught.value) == (
        "it ended the connection after TLS: its --tls-authz may not allow this side's certificate "
        "(CN=alpha,O=Example), or it is a QEMU or a relay at tls: (then connect with tls:); see "
        "what it says there"
    )


def test_a_far_end_that_breaks_is_no_ramferry(line: Line) -> None:
    line.control.say(HELLO)
    line.far.close()  # and leaves the hello unread
    with pytest.raises(PeerUnreachable, match="no Ramferry that takes migrations"):
        line.control.hear_opening()
    with pytest.raises(PeerUnreachable, match="sends no hello"):
        line.control.hear_hello()
    assert not line.control.say(Ask())


def test_silence_in_a_hello_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "STALL", 0.05)
    near, far = in_memory.joined()
    far.settle(SETTLE)
    with contextlib.closing(Control(near)) as control, contextlib.closing(far):
        silent = r"^it says nothing for 0\.05 s, so it is no Ramferry at relay:; if it is a QEMU, "
        with pytest.raises(PeerUnreachable, match=silent + "connect with tcp:, or with tls: if it"):
            control.hear_opening()
        with pytest.raises(PeerUnreachable, match=silent + "connect with tls:$"):
            control.hear_opening("CN=alpha")
        far.send([encode(HELLO)[:-1]])
        with pytest.raises(PeerUnreachable, match="it sends no hello"):
            control.hear_hello()


def test_silence_between_messages_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "STALL", 0.02)
    near, far = in_memory.joined()
    far.settle(SETTLE)
    with contextlib.closing(Control(near)) as control, contextlib.closing(far):
        heard: list[Message | None] = []
        control.listen(heard.append)
        threading.Event().wait(0.1)
        assert heard == []
        far.send([encode(Ask())])
        until(lambda: heard == [Ask()])


def test_closing_ends_the_thread_that_hears(line: Line) -> None:
    with no_thread_left():
        line.listen()
        line.control.close()
    assert line.heard == [None]
    assert line.control.fileno() == -1


def test_it_may_be_closed_in_the_thread_that_hears() -> None:
    near, far = in_memory.joined()
    far.settle(SETTLE)
    with contextlib.closing(Control(near)) as control, contextlib.closing(far):
        closed = threading.Event()

        def take(message: Message | None) -> None:
            if message is not None:
                control.close()
                closed.set()

        control.listen(take)
        far.send([encode(Ask())])
        assert closed.wait(SETTLE)


def test_what_many_threads_say_is_whole(line: Line) -> None:
    messages = [Failed(f"{number}" * 900, 5) for number in range(8)]
    threads = [threading.Thread(target=line.control.say, args=(one,)) for one in messages]
    for thread in threads:
        thread.start()
    raw = taken(line.far, sum(len(encode(one)) for one in messages))
    assert sorted(raw.split(b"}")) == sorted(b"".join(map(encode, messages)).split(b"}"))
    for thread in threads:
        thread.join()


def test_one_that_is_closed_is_not_heard(line: Line) -> None:
    """The thread that has agreed on a migration may come to listen after another has ended it."""
    line.control.close()
    line.listen()
    assert line.heard == [None]
