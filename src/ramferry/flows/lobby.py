"""Where connections from the source wait until their first bytes say what they are.

Nothing is connected onwards for a connection that has not spoken: a silent connection freezes a
QEMU destination's monitor, and one that closes at once (a port probe) ends it.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ramferry.errors import RemoteProtocolError
from ramferry.flows.loop import HUNG_UP, READABLE, Loop
from ramferry.transport import budget, sockets
from ramferry.wire.multifd import parse_initial
from ramferry.wire.packets import INITIAL_SIZE, Initial

MAIN_MAGIC: Final = b"QEVM"
MULTIFD_MAGIC: Final = b"\x11\x22\x33\x44"
_TLS_HANDSHAKE: Final = b"\x16\x03"
SILENCE: Final = 30.0
"""Seconds that a connection may stay silent. A 10.x source's main does so only until its last
multifd channel is connected."""
MOST_CALLERS: Final = 256
"""Connections that may wait here at once; one more, and the one that waited longest leaves. With
255 channels on both sides the relay stays below the usual limit of 1024 descriptors."""
PROBE_GRACE: Final = 1.0
"""Seconds after which a connection without a single byte does not delay the first sync mark."""


@dataclass(eq=False, slots=True)
class Caller:
    """A connection whose kind is not known yet."""

    sock: socket.socket
    since: float = field(default_factory=time.monotonic)
    first: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class MainArrival:
    """A main channel; its magic has been read."""

    sock: socket.socket
    first: bytes


@dataclass(frozen=True, slots=True)
class MultifdArrival:
    """A multifd channel; its initial packet has been read."""

    sock: socket.socket
    initial: Initial
    since: float = field(default_factory=time.monotonic)


class Lobby:
    """Accepts, classifies and hands over connections; all in the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        arrived: Callable[[MainArrival | MultifdArrival], None],
        note: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._arrived = arrived
        self._note = note
        self._callers: set[Caller] = set()
        loop.add(listener.fileno(), READABLE, self.accept)

    def accept(self) -> None:
        """Take in every connection that is waiting to be accepted."""
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._note(f"a connection could not be accepted: {error.strerror}")
                return
            if len(self._callers) >= MOST_CALLERS:
                oldest = min(self._callers, key=lambda one: one.since)
                self._refuse(oldest, f"was silent while {MOST_CALLERS} others came")
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                # before anything is read, since a window cannot shrink later; and not on the
                # listener, whose buffer would settle the window's scale: it never passed 128 KiB a
                # round trip then, however large the buffer became (rcv_wscale 1 in place of 10)
                sockets.set_buffers(sock, receive=budget.INITIAL)
            caller = Caller(sock)
            self._callers.add(caller)
            self._loop.add(sock.fileno(), READABLE | HUNG_UP, partial(self._read, caller))

    def settled(self) -> bool:
        """True where every connection that came has been classified, probes aside."""
        now = time.monotonic()
        return all(not one.first and now - one.since > PROBE_GRACE for one in self._callers)

    def expire(self) -> None:
        """Turn out connections that stayed silent for too long."""
        now = time.monotonic()
        for caller in [one for one in self._callers if now - one.since > SILENCE]:
            self._refuse(caller, f"sent {len(caller.first)} bytes in {SILENCE:.0f} s")

    def close(self) -> None:
        """Stop listening and turn out whoever still waits."""
        self._loop.remove(self._listener.fileno())
        for caller in list(self._callers):
            self._leave(caller)
            caller.sock.close()

    def _read(self, caller: Caller) -> None:
        wanted = INITIAL_SIZE if caller.first[:4] == MULTIFD_MAGIC else 4
        try:
            data = caller.sock.recv(wanted - len(caller.first))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # a port probe, or a source that gave up: nothing was connected onwards for it
            self._leave(caller)
            caller.sock.close()
            return
        caller.first += data
        self._classify(caller)

    def _classify(self, caller: Caller) -> None:
        first = bytes(caller.first)
        if first == MAIN_MAGIC:
            self._leave(caller)
            self._arrived(MainArrival(caller.sock, first))
        elif first[:2] == _TLS_HANDSHAKE:
            self._refuse(caller, "began a TLS handshake; unset tls-creds on the source")
        elif len(first) == INITIAL_SIZE:
            self._multifd(caller, first)
        elif len(first) >= 4 and first[:4] != MULTIFD_MAGIC:
            self._refuse(caller, f"began with {first.hex()}, which is no migration channel")

    def _multifd(self, caller: Caller, first: bytes) -> None:
        try:
            initial = parse_initial(first)
        except RemoteProtocolError as error:
            self._refuse(caller, f"is no multifd channel of ours: {error}")
            return
        self._leave(caller)
        self._arrived(MultifdArrival(caller.sock, initial))

    def _refuse(self, caller: Caller, why: str) -> None:
        self._note(f"refused a connection that {why}")
        self._leave(caller)
        caller.sock.close()

    def _leave(self, caller: Caller) -> None:
        self._loop.remove(caller.sock.fileno())
        with contextlib.suppress(KeyError):
            self._callers.remove(caller)
