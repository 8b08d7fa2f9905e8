"""Plain streams through a pair of relays: one connection at either end, and every byte kept."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import raw_sockets
from fakes_relay import RelayThread, Stage, until
from fakes_source import SETTLE, dial
from peer_meddler import Meddler
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import RelayAddress, TcpAddress, UnixAddress
from ramferry.wire.return_path import shut
from wire_streams import (
    CONTINUE,
    PAGE,
    PAGE_FLAG,
    ZERO,
    Stream,
    begun,
    command,
    counted,
    record,
    vmdesc,
)
from wire_streams import start as section_start

OPEN_RETURN_PATH, PING, ADVISE, LISTEN, RUN, PACKAGED = 1, 2, 3, 4, 5, 7
BLOCK = b"pc.ram"
END = 3
FULL = 4


def pages(count: int, *, seed: int = 1, first: int = 0) -> bytes:
    """Records of pages with content that compresses by half, one block's."""
    rng = np.random.default_rng(seed)
    made = bytearray()
    for index in range(count):
        content = rng.integers(0, 256, PAGE // 2, np.uint8).tobytes().ljust(PAGE, b"\0")
        offset = (first + index) * PAGE
        name = b"" if index else counted(BLOCK)
        made += record(offset, PAGE_FLAG | (CONTINUE if index else 0), name + content)
    return bytes(made)


def zeros(count: int, *, first: int = 0) -> bytes:
    """Records of zero pages, behind another record of the block."""
    return b"".join(record((first + i) * PAGE, ZERO | CONTINUE, b"\0") for i in range(count))


def opening(*, return_path: bool = True, postcopy: bool = False) -> bytes:
    """What a source says before its first section."""
    said = b""
    if return_path:
        said += command(OPEN_RETURN_PATH) + command(PING, struct.pack(">I", 1))
    if postcopy:
        said += command(ADVISE, struct.pack(">QQ", PAGE, PAGE))
    return said


def device(size: int = 3000) -> bytes:
    """A device's state, which nobody can parse."""
    return (
        section_start(9, b"apic", 3, kind=FULL)
        + bytes(range(1, 251)) * (size // 250)
        + (struct.pack(">BI", 0x7E, 9))
    )


def precopy(*, count: int = 40, return_path: bool = True, postcopy: bool = False) -> bytes:
    """A whole migration of a guest without multifd."""
    stream = _begun(count, return_path=return_path, postcopy=postcopy)
    stream.ram(pages(count), zeros(10, first=count))
    stream.ram(pages(3, seed=2), kind=END)
    stream.add(device(), vmdesc())
    return bytes(stream.data)


def switched(*, count: int = 40) -> tuple[bytes, bytes]:
    """A migration that switches to postcopy: up to there, and what follows."""
    stream = _begun(count, return_path=True, postcopy=True)
    stream.ram(pages(count))
    before = bytes(stream.data)
    package = command(LISTEN) + device() + command(RUN)
    behind = Stream(rounds=False)
    behind.data = bytearray(command(PACKAGED, struct.pack(">I", len(package))) + package)
    behind.ram(pages(5, seed=3))
    behind.ram(kind=END)
    behind.add(b"\0")
    return before, bytes(behind.data)


def _begun(count: int, *, return_path: bool, postcopy: bool) -> Stream:
    made = begun(blocks=((BLOCK, (count + 64) * PAGE),))
    at = len(b"QEVM\x00\x00\x00\x03" + b"\x07\x00\x00\x00\x02pc")
    made.data[at:at] = opening(return_path=return_path, postcopy=postcopy)
    return made


class End:
    """One end of a stream: a socket, and all that came on it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.got = bytearray()
        self.ended = threading.Event()
        self.broken = False
        """Whether it ended by a reset."""
        self._thread = threading.Thread(target=self._read, name="plain end")
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := self.sock.recv(1 << 16):
                self.got += data
        except OSError:
            self.broken = True
        self.ended.set()

    def has(self, count: int) -> None:
        """Wait until so many bytes have come."""
        until(lambda: len(self.got) >= count, what=f"{count} bytes, {len(self.got)} have come")

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def finish(self) -> None:
        """Close this direction."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        raw_sockets.reset(self.sock)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(SETTLE)
        assert not self._thread.is_alive()
        self.sock.close()


@dataclass
class PlainPair:
    """A pair of relays, the address of either end, and what is between them."""

    near: RelayThread
    far: RelayThread
    folder: Path
    listener: socket.socket
    meddler: Meddler

    @contextlib.contextmanager
    def source(self) -> Iterator[End]:
        """Connect to the near relay."""
        end = End(dial(self.near.address))
        try:
            yield end
        finally:
            end.close()

    @contextlib.contextmanager
    def destination(self) -> Iterator[End]:
        """Take the connection that the far relay makes."""
        self.listener.settimeout(SETTLE)
        sock, _ = self.listener.accept()
        sock.settimeout(None)
        end = End(sock)
        try:
            yield end
        finally:
            end.close()

    def never_connected(self) -> bool:
        """Whether the far relay has made no connection."""
        self.listener.settimeout(0.05)
        try:
            self.listener.accept()[0].close()
        except TimeoutError:
            return True
        return False

    def carries(self, nth: int = 1, data: bytes = b"") -> None:
        """A good migration through the pair."""
        data = data or precopy()
        with self.source() as source:
            source.send(data)
            with self.destination() as destination:
                destination.has(len(data))
                destination.send(shut())
                source.has(len(shut()))
                source.finish()
                assert destination.ended.wait(SETTLE)
                assert destination.got == data
        assert source.got == shut()
        for relay in (self.near, self.far):
            result = relay.finished(nth)
            assert result.error == ""
            assert result.completed


@contextlib.contextmanager
def plain_pair(
    folder: Path,
    method: str = "zstd",
    near: dict[str, object] | None = None,
    *,
    tcp: bool = False,
    **far: object,
) -> Iterator[PlainPair]:
    """Two relays and a destination's listener.

    :param near: settings of the source's relay; ``far`` are the destination's.
    :param tcp: whether the ends connect by TCP, where a reset is more than an end.
    """
    listener, at = _listener(folder, tcp=tcp)
    stage = Stage(folder, **{"method": "none", **far})
    if at is not None:
        stage.change(connect=at)
    listens = replace(stage.settings, listen=RelayAddress(UnixAddress(str(folder / "far"))))
    between = UnixAddress(str(folder / "between"))
    near_settings = RelaySettings(
        TcpAddress("127.0.0.1", 0) if tcp else UnixAddress(str(folder / "near")),
        RelayAddress(between),
        method,
        stall_timeout=stage.settings.stall_timeout,
        **(near or {}),  # type: ignore[arg-type]
    )
    with (
        contextlib.closing(listener),
        RelayThread(near_settings) as first,
        RelayThread(listens) as second,
        Meddler(between, UnixAddress(str(folder / "far"))) as meddler,
    ):
        yield PlainPair(first, second, folder, listener, meddler)


def _listener(folder: Path, *, tcp: bool) -> tuple[socket.socket, TcpAddress | None]:
    if tcp:
        listener = socket.create_server(("127.0.0.1", 0))
        return listener, TcpAddress("127.0.0.1", listener.getsockname()[1])
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "destination"))
    listener.listen()
    return listener, None
