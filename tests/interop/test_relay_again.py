"""The next migration through a relay, and the order of connections by which it is told apart.

``flows.inlet.calls`` relies on this: a source connects main before any channel, and a listener
hands connections out in that order.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from migrating import (
    MIB,
    Pair,
    assert_same_ram,
    listen,
    prepare,
    until,
    wait_arrived,
    wait_ended,
)
from qemu_faults import may_hang, once_more_if_qemu_fails, wait_let_go

from fakes_relay import RelayThread
from ramferry.bench.fill import fill
from ramferry.bench.qemu import Qemu
from ramferry.flows.inlet.callers import MAIN_MAGIC, MULTIFD_MAGIC
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import Address, TcpAddress, UnixAddress
from ramferry.transport.listening import Listener

pytestmark = pytest.mark.interop

CHANNELS = 8
MEMORY = 32 * MIB
TRIES = 4
SECONDS = 20.0


class Ear:
    """Accepts connections, takes nothing but their first bytes, and keeps them in order."""

    def __init__(self, address: Address) -> None:
        self._listener = Listener(address)
        self._listener.sockets[0].setblocking(True)
        self.address = self._listener.address
        self.socks: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.sockets[0].accept()
                sock.settimeout(SECONDS)
                self.socks.append(sock)

    def first_bytes(self, count: int) -> list[bytes]:
        """What so many connections began with, in the order in which they were accepted."""
        until("all connections", lambda: len(self.socks) >= count, SECONDS)
        return [sock.recv(4, socket.MSG_WAITALL) for sock in self.socks[:count]]

    def hang_up(self) -> None:
        for sock in self.socks:
            sock.close()
        self.socks.clear()

    def close(self) -> None:
        self._listener.sockets[0].shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.hang_up()
        self._listener.close()


@contextmanager
def source_of(pair: Pair) -> Iterator[Qemu]:
    """A paused source alone, with something to send."""
    with Qemu(pair.source, MEMORY, machine=pair.machine) as source:
        fill(source.ram)
        prepare(source, "none", CHANNELS)
        yield source


def begin(source: Qemu, uri: str) -> None:
    """Begin the next try, once QEMU has let go of the last one: it says "failed" before that.

    Whether it has is seen in ``query-yank``. A ``migrate`` that comes before is refused, but has
    then set QEMU 10.0's status to "setup" for good, or kills it: 5 of 200 runs.
    """
    wait_let_go(source)
    source.qmp.execute("migrate", {"uri": uri})


def address(kind: str, folder: Path, name: str) -> Address:
    return TcpAddress("127.0.0.1", 0) if kind == "tcp" else UnixAddress(str(folder / name))


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("relays", [0, 1])
def test_main_is_connected_first(pair: Pair, kind: str, relays: int, tmp_path: Path) -> None:
    # a QEMU 7.2 may die of a second migration after one whose channels broke
    tries = 1 if pair.source.version < (8,) else TRIES
    for nth in range(tries):
        with ExitStack() as stack:
            ear = Ear(address(kind, tmp_path, f"ear-{nth}"))
            stack.callback(ear.close)
            uri = str(ear.address)
            if relays:
                listening = address(kind, tmp_path, f"relay-{nth}")
                settings = RelaySettings(listening, ear.address, "none")
                uri = str(stack.enter_context(RelayThread(settings)).address)
            source = stack.enter_context(source_of(pair))
            source.qmp.execute("migrate", {"uri": uri})
            found = ear.first_bytes(CHANNELS + 1)
            ear.hang_up()
        assert found == [MAIN_MAGIC, *[MULTIFD_MAGIC] * CHANNELS]


@pytest.mark.parametrize("pair", ["10.0"], indirect=True)
@pytest.mark.parametrize("kind", ["unix", "tcp"])
@once_more_if_qemu_fails
def test_every_next_try_begins_afresh(pair: Pair, kind: str, tmp_path: Path) -> None:
    """A destination that is absent or hangs up, again and again, and then a good one."""
    onward = UnixAddress(str(tmp_path / "onward"))
    settings = RelaySettings(address(kind, tmp_path, "relay"), onward, "none", channels=CHANNELS)
    incoming = Qemu(pair.destination, MEMORY, machine=pair.machine, incoming=True)
    with (
        RelayThread(settings) as relay,
        incoming as destination,
        source_of(pair) as source,
        may_hang(source, lambda: relay.session is None),
    ):
        uri = str(relay.address)
        for nth in range(2 * TRIES):
            # nobody there: it fails while its channels are still on their way; or somebody who
            # hangs up, from after main alone to after every channel
            with ExitStack() as stack:
                if nth % 2:
                    ear = Ear(onward)
                    stack.callback(ear.close)
                begin(source, uri)
                if nth % 2:
                    ear.first_bytes(1 + nth // 2 * CHANNELS // (TRIES - 1))
            # and again at once: nobody waits until the relay has said so
            assert wait_ended(source, SECONDS) == "failed"
        listen(destination, "none", CHANNELS, str(onward))
        begin(source, uri)
        assert wait_ended(source, SECONDS) == "completed", relay.seen.notes
        wait_arrived(destination)
        assert_same_ram(source, destination)
        errors = [result.error for result in relay.seen.results]
        assert not [error for error in errors if "channel id" in error]
