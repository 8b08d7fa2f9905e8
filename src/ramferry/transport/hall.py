"""Where connections make TLS's handshake before a listener hands them out.

A thread accepts them, and each handshake has its own thread, so that nobody waits for a silent or
slow peer. They are handed out in the order in which their handshakes end at the side that connects:
a QEMU connects its multifd channels only after main's. TLS's last flight goes to the side that
listens, so main's may still be on its way when a channel's handshake is done here; therefore a
connection lets those of its origin go first that came before it and have begun, for a moment.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ramferry.metrics.notes import refusal, warning
from ramferry.patience import Patience
from ramferry.transport import handshake, sockets
from ramferry.transport.crowd import one_too_many
from ramferry.transport.tls import Tls

MOST_OF_ONE: Final = 256
"""Most handshakes of one host at once: a main and 255 channels. If one more comes, the oldest is
given up."""
MOST: Final = 512
"""Most handshakes at once in all."""
_BACK_OFF: Final = 0.5
"""Seconds until accepting is tried again after it failed for want of descriptors or memory."""
_JOIN: Final = 5.0
_TURN: Final = 1.0
"""Most seconds for which a connection lets earlier ones go first; a flight that was lost is sent
again after 0.2 s."""
_TURN_POLL: Final = 0.001

Caller = tuple[socket.socket, str]
"""A socket that was accepted, and who made it."""


class _Guest(handshake.Watch):
    """A connection whose handshake is under way."""

    def __init__(self, origin: str) -> None:
        super().__init__(self._check)
        self.origin = origin
        self.leave = False

    def _check(self) -> None:
        if self.leave:
            raise _Left


class _Left(Exception):
    """The handshake is given up."""


@dataclass(slots=True)
class Hall:
    """Accepts connections and makes their handshakes, until it is closed."""

    listening: Sequence[socket.socket]
    """Non-blocking; they stay their owner's."""
    accept: Callable[[], Caller | None]
    """Accepts the next one that waits; called in the hall's thread."""
    context: ssl.SSLContext
    allows: Callable[[bytes], str]
    """Told a certificate, as DER, says which subject is not allowed; empty if it is."""
    note: Callable[[str], None]
    """Told a sentence for each connection that was refused; called in several threads."""
    seconds: float = handshake.SECONDS
    """Seconds that a handshake may take."""
    fd: int = field(
        default_factory=lambda: os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), init=False
    )
    """Readable while a connection, or an error, waits to be taken."""
    _done: deque[tuple[Tls, str] | OSError] = field(default_factory=deque, init=False)
    _guests: dict[_Guest, threading.Thread] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _stop: int = field(default_factory=lambda: os.eventfd(0, os.EFD_CLOEXEC), init=False)
    _closed: bool = field(default=False, init=False)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="tls", daemon=True)
        self._thread.start()

    def take(self) -> tuple[Tls, str] | None:
        """The next connection whose handshake is done, and who made it; None if there is none.

        :raise OSError: this process, or the host, lacks descriptors or memory to accept more.
        """
        with self._lock:
            if not self._done:
                return None
            one = self._done.popleft()
            if not self._done:
                os.eventfd_read(self.fd)  # nothing waits any more
        if isinstance(one, OSError):
            raise one
        return one

    def close(self) -> None:
        """Give up every handshake, and close what nobody has taken; returns once no thread is
        left."""
        with self._lock:
            self._closed = True
            threads = [self._thread, *self._guests.values()]
            for guest in self._guests:
                guest.leave = True
        os.eventfd_write(self._stop, 1)
        for thread in threads:
            thread.join(_JOIN)
        for one in self._done:
            if not isinstance(one, OSError):
                one[0].close()
        os.close(self._stop)
        os.close(self.fd)

    # --- accepting

    def _run(self) -> None:
        poll = select.poll()
        for sock in self.listening:
            poll.register(sock, select.POLLIN)
        stop = select.poll()
        for each in (poll, stop):
            each.register(self._stop, select.POLLIN)
        while True:
            poll.poll()
            if self._closed:
                return
            try:
                while (caller := self.accept()) is not None:
                    self._let_in(*caller)
            except OSError as error:
                self._hand_out(error)
                stop.poll(_BACK_OFF * 1e3)

    def _let_in(self, sock: socket.socket, origin: str) -> None:
        guest = _Guest(origin)
        thread = threading.Thread(
            target=self._shake, args=(sock, guest), name=f"tls with {origin}", daemon=True
        )
        with self._lock:
            if self._closed:
                sock.close()
                return
            waiting = [one for one in self._guests if not one.leave]
            if leaves := one_too_many(waiting, lambda one: one.origin, MOST_OF_ONE, MOST, origin):
                leaves.leave = True
            self._guests[guest] = thread
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            sock.close()
            with self._lock:
                del self._guests[guest]
            raise OSError(0, f"no thread for a handshake: {error}") from error

    def _shake(self, sock: socket.socket, guest: _Guest) -> None:
        try:
            secured = handshake.as_server(sock, self.context, guest, self.seconds)
            subject = self.allows(secured.peer_certificate())
            if subject:
                secured.turn_away()
                raise handshake.Failed(f"--tls-authz does not allow {subject}")
            self._let_earlier_ones_go(guest)
            self._hand_out((secured, guest.origin))
        except handshake.Failed as error:
            self.note(refusal(f"refused a connection of {guest.origin}: {error}"))
        except _Left:
            if not self._closed:
                self.note(
                    refusal(
                        f"refused a connection of {guest.origin}: it was in TLS's handshake while"
                        " too many others came"
                    )
                )
        except OSError as error:
            self.note(warning(f"lost a connection of {guest.origin}: {sockets.reason(error)}"))
        finally:
            with self._lock:
                del self._guests[guest]

    def _let_earlier_ones_go(self, guest: _Guest) -> None:
        patience = Patience(_TURN)
        while not patience.over:
            with self._lock:
                earlier = itertools.takewhile(lambda one: one is not guest, self._guests)
                if not any(one.begun for one in earlier if one.origin == guest.origin):
                    return
            time.sleep(_TURN_POLL)

    def _hand_out(self, one: tuple[Tls, str] | OSError) -> None:
        with self._lock:
            if not self._closed:  # else the descriptor may be another's
                self._done.append(one)
                os.eventfd_write(self.fd, 1)
                return
        if not isinstance(one, OSError):
            one[0].close()
