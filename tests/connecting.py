"""Pairs of connections of every form, and what tests of connections do beside them."""

from __future__ import annotations

import contextlib
import functools
import itertools
import select
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final
from unittest import mock

import in_memory
import patiently
from ramferry.flows.peer.framed import Framed
from ramferry.flows.peer.stream import Tunnel
from ramferry.flows.session.roles import Behind
from ramferry.flows.session.session import Session
from ramferry.flows.settings import RelaySettings
from ramferry.transport import budget, tls_engine
from ramferry.transport.address import RelayAddress, TcpAddress, UnixAddress
from ramferry.transport.connection import Connection
from ramferry.transport.dialing import connect as dial
from ramferry.transport.listening import Accepted, Listener
from ramferry.transport.one_time import NAME, make
from ramferry.transport.plain import Plain, connect
from ramferry.transport.security import Security
from ramferry.transport.tls import Tls
from ramferry.wire.relay_stream import Direction

SETTLE: Final = 20.0
"""Seconds within which anything is done that nothing hinders."""
_FULL: Final = 0.02
"""Seconds after which a peer that takes nothing is full."""
_FULL_TCP: Final = 0.3
"""The kernel's TCP asks a peer that told it of no room again after 0.2 s, and takes more itself."""
_FULL_TUNNEL: Final = 2.5
"""Threads of its own lie between the two ends, and may stand still on a busy machine."""

Pair = tuple[Connection, Connection]
Plains = tuple[Plain, Plain]


class Aside(threading.Thread):
    """Runs ``function`` aside; ``result`` waits for it and raises what it raised."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__()
        self._function = function
        self._result: object = None
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._function()
        except Exception as error:
            self._error = error

    def result(self) -> object:
        self.join(SETTLE)
        assert not self.is_alive(), "still waiting"
        if self._error is not None:
            raise self._error
        return self._result


def until(met: Callable[[], bool]) -> None:
    patiently.until(met, SETTLE)


def by_listener(listener: Listener) -> Plains:
    """The end that connected, and the end that was accepted; neither is settled."""
    with listener:
        near = connect(listener.address)
        far = one_accepted(listener).connection
    assert isinstance(far, Plain)
    return near, far


def one_accepted(listener: Listener) -> Accepted:
    """The next connection, waited for."""
    select.select(listener.filenos(), [], [], SETTLE)
    one = listener.accept()
    assert one is not None
    return one


def unix() -> Plains:
    with tempfile.TemporaryDirectory() as folder:
        return by_listener(Listener(UnixAddress(f"{folder}/it")))


def tcp() -> Plains:
    return by_listener(Listener(TcpAddress("127.0.0.1", 0)))


@functools.cache
def one_time() -> tuple[Security, Security]:
    """The policies of a side that listens and of one that connects, with one authority."""
    made = make()
    return Security(made.listens, name=NAME), Security(made.connects, name=NAME)


def tls(
    *, portable: bool = False, engine: type[tls_engine.Engine] = tls_engine.NativeEngine
) -> Pair:
    """By a relay's TLS over the loopback.

    :param portable: without what is called in OpenSSL past Python.
    :param engine: the one that this Python is to choose otherwise.
    """
    listens, connects = one_time()
    with contextlib.ExitStack() as stack:
        if portable:
            stack.enter_context(mock.patch.object(tls_engine, "NativeEngine", _no_native))
        listener = stack.enter_context(
            Listener(RelayAddress(TcpAddress("127.0.0.1", 0)), security=listens)
        )
        near = dial(listener.address, connects)
        far = one_accepted(listener).connection
    kind = tls_engine.Engine if portable else engine
    for end in (near, far):
        assert isinstance(end, Tls)
        assert type(end._engine) is kind
    return near, far


def framed(pair: Pair) -> Pair:
    """What main is between two Ramferrys."""
    near, far = pair
    return Framed(near), Framed(far)


def tunnel(make: Callable[[], Pair], count: int, method: str = "zstd") -> Pair:
    """What a stream is between two Ramferrys: ``count`` connections in one, started."""
    pairs = [make() for _ in range(count)]
    for end in itertools.chain(*pairs):
        end.set_buffers(send=budget.INITIAL, receive=budget.INITIAL)
    ends: list[Tunnel] = []
    for way, connections in zip(Direction, zip(*pairs, strict=True), strict=True):
        end = Tunnel(connections, bytes(range(16)), way, method=method, verify=True)
        end.start(session(method))
        ends.append(end)
    return ends[0], ends[1]


def session(method: str = "zstd") -> Session:
    """A session for what needs no more than threads and counters."""
    settings = RelaySettings(UnixAddress("in"), UnixAddress("out"), method, accelerator="off")
    made = Session(settings, lambda _: None)
    made.behind = mock.create_autospec(Behind, instance=True)
    return made


def _no_native(_: object) -> tls_engine.Engine:
    raise LookupError


TUNNEL: Final = "tunnel"
"""Works once it was started, holds pieces of its own, and its descriptor does not tell of bytes."""
FORMS: Final[dict[str, Callable[[], Pair]]] = {
    "unix": unix,
    "tcp": tcp,
    "tls": tls,
    "tls-portable": partial(tls, portable=True),
    "in-memory": in_memory.joined,
    "in-memory-windowed": partial(in_memory.joined, windowed=True),
    "framed": lambda: framed(in_memory.joined()),
    "framed-tcp": lambda: framed(tcp()),
    TUNNEL: lambda: tunnel(tcp, 2, "none"),
}
"""How to make the two ends of a connection: one that connected, one that was accepted."""
WRAPPED: Final = ("tls", "tls-portable", "framed", "framed-tcp")
"""Those whose bytes travel in records or frames: see ``Connection.unread``."""
WINDOWED: Final = ("tcp", "tls", "tls-portable", "in-memory-windowed", "framed-tcp", TUNNEL)


@contextlib.contextmanager
def joined(form: str) -> Iterator[Pair]:
    """Both ends, settled; closed at the end of the block."""
    near, far = FORMS[form]()
    with contextlib.closing(near), contextlib.closing(far):
        near.settle(SETTLE)
        far.settle(SETTLE)
        yield near, far


def come(connection: Connection, count: int) -> bool:
    """Whether ``count`` bytes have come, and what they are wrapped in as well."""
    if isinstance(connection, Tunnel):
        # not what lies in a socket between a piece's head and its end: a reset drops that
        return connection._in.unread == count
    unread = connection.unread()
    return unread > count if isinstance(connection, Tls | Framed) else unread == count


def fill(connection: Connection) -> int:
    """Send until neither side takes more; returns the bytes."""
    by_kernel = connection.windowed and isinstance(connection, Plain)
    through = _FULL_TUNNEL if isinstance(connection, Tunnel) else _FULL
    connection.settle(_FULL_TCP if by_kernel else through)
    total = 0
    while sent := connection.send_some(bytes(65536)):
        total += sent
    connection.settle(SETTLE)
    return total


def begun(connection: Connection) -> bytes:
    """What ``fill`` has begun to send beyond what it counts, with which the next send has to begin:
    a record or frame."""
    if isinstance(connection, Framed):
        return connection._held if connection._pending else b""
    return bytes(connection._held) if isinstance(connection, Tls) else b""


def taken(connection: Connection, count: int) -> bytes:
    """The next ``count`` bytes, or fewer where the stream ends before."""
    view = memoryview(bytearray(count))
    return bytes(view[: connection.receive(view)])


def read_to_end(connection: Connection) -> int:
    """Receive until the end; returns the bytes."""
    view, total = memoryview(bytearray(1 << 20)), 0
    while count := connection.receive_some(view):
        total += count
    assert count == 0, "no end"
    return total
