"""What a sender says of a destination that it hears no more."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ramferry.errors import RamferryError, RemoteProtocolError
from ramferry.flows.outlet.outgoing import Outgoing
from ramferry.flows.settings import SendSettings
from ramferry.transport.address import UnixAddress
from ramferry.transport.plain import Plain
from ramferry.wire.return_path import shut


class Broken(Plain):
    """A connection whose next receipt fails, as where a cable was pulled."""

    number = 0

    def receive_some(self, view: memoryview, *, whole: bool = False) -> int | None:
        del view, whole
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ETIMEDOUT, "main: the network failed: Connection timed out"),
        (errno.EHOSTUNREACH, "main: the network failed: No route to host"),
        (errno.ECONNRESET, "the destination closed the main channel: see its log"),
    ],
)
def test_a_network_that_fails_is_not_the_destinations_end(number: int, sentence: str) -> None:
    outgoing = Outgoing(SendSettings(UnixAddress("/nowhere/x"), "none"))
    here, there = socket.socketpair()
    main = Broken(here)
    main.number = number
    with there, outgoing:
        outgoing.take_main(main)
        assert outgoing.session.over.wait(10)
        assert str(outgoing.error) == sentence


@contextmanager
def handing_over(tail: bytes) -> Iterator[tuple[socket.socket, list[object], list[float]]]:
    """An outgoing whose main is a pair of sockets, at its last bytes."""
    here, there = socket.socketpair()
    outgoing = Outgoing(SendSettings(UnixAddress("/nowhere/x"), "none"))
    main = Plain(here)
    main.settle(60.0)
    outgoing.take_main(main)
    ended: list[object] = []
    looks: list[float] = []

    def run() -> None:
        try:
            ended.append(outgoing.hand_over(tail, lambda: looks.append(time.monotonic())))
        except RamferryError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with there:
            yield there, ended, looks
        thread.join(10)
        assert not thread.is_alive()
    finally:
        outgoing.close()


def wait_for_looks(looks: list[float]) -> None:
    """Until it has waited several times as long as one send or one wait for the answer takes."""
    deadline = time.monotonic() + 10
    while len(looks) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_last_bytes_wait_for_a_destination_that_takes_none() -> None:
    """Where it is given up in their middle it may have got what starts the guest."""
    tail = bytes(4 << 20)
    with handing_over(tail) as (there, ended, looks):
        sent = there.recv(1 << 16, socket.MSG_WAITALL)
        wait_for_looks(looks)
        assert ended == []
        while len(sent) < len(tail):
            sent += there.recv(1 << 16)
        there.sendall(shut(0))
    assert ended == [None]


def test_nonsense_in_place_of_the_answer_is_no_end() -> None:
    with handing_over(b"tail") as (there, ended, looks):
        there.sendall(bytes.fromhex("00630000"))
        wait_for_looks(looks)
        assert ended == []
    assert isinstance(ended[0], RemoteProtocolError)


def test_the_end_of_main_is_the_end() -> None:
    with handing_over(b"tail") as (there, ended, _):
        there.recv(4)
    assert str(ended[0]) == "the destination closed the main channel without an answer"


def test_an_answer_before_the_last_bytes_is_none() -> None:
    """Such a destination claims a guest that it cannot have yet."""
    outgoing = Outgoing(SendSettings(UnixAddress("/nowhere/x"), "none"))
    here, there = socket.socketpair()
    main = Plain(here)
    main.settle(60.0)
    with there, outgoing:
        outgoing.take_main(main)
        there.sendall(shut(0))
        assert outgoing.session.over.wait(10)
        with pytest.raises(RemoteProtocolError, match="no SHUT before the last bytes"):
            outgoing.hand_over(b"tail")
        there.settimeout(10)
        assert there.recv(1) == b""
