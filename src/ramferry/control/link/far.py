"""The far end of a probe of the link: waits for one, takes what it sends, and says what came.

It listens only to a near end that asked by UDP first and was answered; ``control.link.near`` says
why.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import ExitStack, suppress
from typing import Final, Self

from ramferry.control.link.near import (
    ANSWERS,
    GO,
    HEADER_SIZE,
    MOST_CONNECTIONS,
    Header,
    parse_header,
)
from ramferry.errors import Cancelled, PeerUnreachable
from ramferry.patience import Patience
from ramferry.transport.address import TcpAddress
from ramferry.transport.probe import ProbeConnection, ProbeListener, Question, count
from ramferry.transport.throughput import SILENCE_SECONDS, Flow

_POLL: Final = 0.2


class LinkAnswer:
    """Listens by TCP and UDP at one port; a context manager that ends it."""

    def __init__(self, address: TcpAddress) -> None:
        """
        :param address: port 0 lets the system choose.
        :raise HostError: the address is in use, or not one of this host.
        """
        self._listener = ProbeListener(address, MOST_CONNECTIONS + 1)
        self.address = self._listener.address
        """Where it listens, with the port that the system chose."""
        self._asked: Header | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.__exit__(*exc)

    def wait(self, seconds: float, stop: threading.Event) -> tuple[str, Flow]:
        """Wait for a probe and serve it; return the address that sent it, and what came.

        :raise Cancelled: ``stop`` was set.
        :raise PeerUnreachable: none came within ``seconds``, or it went away in the middle.
        """
        patience = Patience(seconds, longest_step=SILENCE_SECONDS)
        while not patience.over:
            if stop.is_set():
                raise Cancelled("ended before a probe came")
            questions, connects = self._listener.wait(HEADER_SIZE + 1, _POLL)
            for question in questions:
                self._greet(question)
            if connects and (served := self._serve()):
                return served
        raise PeerUnreachable(f"no probe came within {seconds:g} s")

    def _greet(self, question: Question) -> None:
        """Answer a near end's datagram, and accept connections with its number from then on."""
        if header := parse_header(question.data):
            self._asked = header
            with suppress(OSError):
                question.answer(header._replace(magic=ANSWERS).packed())

    def _serve(self) -> tuple[str, Flow] | None:
        """Serve one probe; None if the one that connected was not answered by UDP before."""
        with ExitStack() as stack:
            try:
                talk, header = self._arrival(stack)
            except OSError:
                return None
            if self._asked is None or header != self._asked:
                return None
            near = talk.far
            try:
                flow = self._taken(stack, talk, header)
            except OSError as error:
                raise PeerUnreachable(f"the probe from {near} broke off: {error}") from error
            return near, flow

    def _taken(self, stack: ExitStack, talk: ProbeConnection, header: Header) -> Flow:
        filled: list[ProbeConnection] = []
        while len(filled) < min(max(header.filled, 1), MOST_CONNECTIONS):
            connection, other = self._arrival(stack)
            if other.nonce == header.nonce and other.number:
                filled.append(connection)
        talk.send(GO)
        flow = count(filled)
        said = {"rate": flow.rate, "bytes": flow.all_bytes, "host": os.uname().nodename}
        talk.send(json.dumps(said).encode())
        return flow

    def _arrival(self, stack: ExitStack) -> tuple[ProbeConnection, Header]:
        """The next connection, and the header with which it begins.

        :raise OSError: none came in time, or it is not from a near end.
        """
        connection = stack.enter_context(self._listener.accept())
        header = parse_header(connection.receive(HEADER_SIZE))
        if header is None:
            raise ConnectionError("a connection that is no probe came")
        return connection, header
