"""The control connection between two Ramferrys: messages both ways, whole or not at all."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Final

from ramferry.errors import PeerTimeout, PeerUnreachable, RemoteProtocolError
from ramferry.transport.connection import Connection
from ramferry.wire.relay_messages import (
    HEAD_SIZE,
    Hello,
    Message,
    body_size,
    check_body,
    encode,
    parse_hello,
    parse_message,
)
from ramferry.wire.relay_opening import MAGIC, OPENING_SIZE, Opening, parse_opening, what_begins_so

STALL: Final = 10.0
"""Seconds that the far end may take for its hello, and in which a message that has begun has to
move on."""


class Control:
    """One control connection, which it owns. One thread hears; any thread may say something."""

    def __init__(self, connection: Connection) -> None:
        """:param connection: settled by this object."""
        self._connection = connection
        connection.settle(STALL)
        self._saying = threading.Lock()
        self._beginning = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.nonsense: RemoteProtocolError | None = None
        """What was wrong with the message that ended it; None if none was."""

    def fileno(self) -> int:
        """The connection's descriptor."""
        return self._connection.fileno()

    def say(self, message: Hello | Message, opening: Opening | None = None) -> bool:
        """Send a message; False if the connection broke.

        :param opening: goes before it.
        """
        head = b"" if opening is None else opening.encode()
        try:
            with self._saying:
                self._connection.send([head + encode(message)])
        except (OSError, PeerTimeout):
            return False
        return True

    def offer(self, message: Message) -> None:
        """Send a message that is of no use later, unless earlier ones wait for a far end that does
        not take them: it waits for nobody."""
        with contextlib.suppress(OSError):
            if not self._connection.unsent():
                self.say(message)

    def hear(self) -> Message | None:
        """Wait for the next message, without limit; None once the connection has ended or broken.

        :raise RemoteProtocolError: what came is no message.
        """
        try:
            body = self._body(idle=True)
        except (OSError, PeerTimeout):
            return None
        return None if body is None else parse_message(body)

    def listen(self, take: Callable[[Message | None], None]) -> None:
        """Hear messages in a thread of their own until ``close``, which may have been called.

        :param take: called in that thread with each message, and with None once no more come.
        """

        def run() -> None:
            while (message := self._heard()) is not None:
                take(message)
            take(None)

        with self._beginning:
            if not self._closed:
                self._thread = threading.Thread(target=run, name="control", daemon=True)
                self._thread.start()
                return
        take(None)

    def hear_opening(self, shown: str | None = None) -> Opening:
        """Receive the acceptor's opening.

        :param shown: the subject of the certificate that this side showed; None: there is no TLS.
        :raise PeerUnreachable: it is no Ramferry, or silent.
        """
        encrypted = shown is not None
        view = memoryview(bytearray(OPENING_SIZE))
        try:
            count = self._connection.receive(view, 4)
            if count >= 4 and bytes(view[:4]) != MAGIC:
                raise PeerUnreachable(f"it {what_begins_so(view)}")
            if count < OPENING_SIZE:
                count += self._connection.receive(view[count:])
        except PeerTimeout:
            raise PeerUnreachable(
                f"it says nothing for {STALL:g} s, so it is no Ramferry at relay:; if it is a QEMU,"
                f" connect with {'tls:' if encrypted else 'tcp:, or with tls: if it has tls-creds'}"
            ) from None
        except OSError:
            count = 0
        if count < OPENING_SIZE:
            raise PeerUnreachable(_ended(shown))
        try:
            return parse_opening(view)
        except RemoteProtocolError as error:
            raise PeerUnreachable(f"it is a Ramferry that begins otherwise: {error}") from error

    def hear_hello(self) -> Hello:
        """Receive the far end's hello.

        :raise RemoteProtocolError: it is none.
        :raise PeerUnreachable: the connection ended, or nothing came in time.
        """
        try:
            body = self._body(idle=False)
        except PeerTimeout:
            body = None
        except OSError as error:
            raise PeerUnreachable(f"it broke the connection: {error.strerror}") from error
        if body is None:
            raise PeerUnreachable("it sends no hello")
        return parse_hello(body)

    def cut(self) -> None:
        """End it, and wake the thread that hears."""
        self._connection.cut()

    def close(self) -> None:
        """End it, and free its descriptor."""
        self.cut()
        with self._beginning:
            self._closed, thread = True, self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._connection.close()

    def _heard(self) -> Message | None:
        """The next message; None once the far end has gone, or says what makes no sense."""
        try:
            return self.hear()
        except RemoteProtocolError as error:
            self.nonsense = error
            return None

    def _body(self, *, idle: bool) -> bytes | None:
        """The JSON of the next message; None at the end.

        :raise RemoteProtocolError: it is none, or not as it was sent.
        """
        head = memoryview(bytearray(HEAD_SIZE))
        count = self._connection.receive(head, idle=idle)
        if count < HEAD_SIZE:
            return None
        body = memoryview(bytearray(body_size(head)))
        count = self._connection.receive(body)
        if count < len(body):
            return None
        check_body(head, body)
        return bytes(body)


def _ended(shown: str | None) -> str:
    """What a far end may be that ends the connection in place of a hello; ``shown`` as in
    ``Control.hear_opening``."""
    if shown is None:
        return (
            "it is no Ramferry that takes migrations at relay:, since it closed the connection"
            " without a hello (to a QEMU, or a relay that listens at tcp:, connect with tcp:)"
        )
    return (
        "it ended the connection after TLS: its --tls-authz may not allow this side's certificate"
        f" ({shown}), or it is a QEMU or a relay at tls: (then connect with tls:); see what it says"
        " there"
    )
