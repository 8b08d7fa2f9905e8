"""What a sender says of a destination that it hears no more."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from ramferry.flows.sending.channel import SendSettings
from ramferry.flows.sending.outgoing import Outgoing
from ramferry.transport.address import UnixAddress


class Broken(socket.socket):
    """A connection whose next receipt fails, as where a cable was pulled."""

    number = 0

    def recv(self, *_: int) -> bytes:
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
    with Broken() as main:
        main.number = number
        outgoing._main = main
        outgoing._listen()
    assert str(outgoing.error) == sentence
