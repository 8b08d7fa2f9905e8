"""Two Ramferrys that speak ``relay:`` to each other, relays or built-in guests, and a proxy between
them that strikes at an exact place of the switchover."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from guests import MEMORY, seen
from migrating import MIB, prepare, until

import raw_sockets
from fault_blows import Way
from fault_proxy import Line, Proxy
from ramferry.bench.builtin import BuiltIn
from ramferry.bench.qemu import Qemu
from ramferry.transport.address import RelayAddress, TcpAddress, UnixAddress
from ramferry.wire.events import RamEnd
from ramferry.wire.main import MainParser
from ramferry.wire.relay_opening import OPENING_SIZE
from ramferry.wire.return_path import ReturnPathParser, Shut

CHANNELS = 2
HEAD = struct.Struct(">IIQ")
SECONDS = 30.0

Place = Literal[
    "never",
    "before end",
    "half end",
    "after end",
    "before answer",
    "half answer",
    "damaged answer",
    "damaged end",
    "before tail",
    "half tail",
    "at end",
    "at answer",
]
"""Where the proxy strikes. ``before`` a frame, ``half`` of it, or ``after`` it, all connections are
cut; a damaged one has a flipped bit; ``at`` one nothing happens but what ``strike`` does.
``end`` is the frame with ram's END, ``tail`` the one behind it (a built-in guest's device state),
``answer`` the one with SHUT."""


class Cutter(Proxy):
    """Knows main's frames, and strikes once."""

    def __init__(
        self,
        listen: TcpAddress,
        target: TcpAddress,
        place: Place,
        strike_at: Callable[[], None] = lambda: None,
        *,
        lasting: bool = False,
    ) -> None:
        """
        :param strike_at: what is done at the place, before the frame goes on.
        :param lasting: whether a cut refuses new connections too, until ``heal``.
        """
        self.reached = threading.Event()
        self.passed = 0
        """Bytes so far."""
        self._place = place
        self._at = strike_at
        self._lasting = lasting
        self._buffers = {"forward": bytearray(), "back": bytearray()}
        self._past_opening = False
        self._past_end = False
        self._main = MainParser(mixed=True)
        self._answer = ReturnPathParser()
        super().__init__(listen, target, self._frames)

    def cut(self) -> None:
        """Cut every connection, and refuse new ones if that is to last."""
        self._refuses = self._lasting
        for line in list(self.lines):
            line.end(raw_sockets.reset)

    def _frames(self, line: Line, way: Way, data: bytes) -> Iterator[bytes]:
        self.passed += len(data)
        if line.name != "main":
            yield data
            return
        buffer = self._buffers[way]
        buffer += data
        if way == "forward" and not self._past_opening:
            self._past_opening = True
            yield bytes(buffer[:OPENING_SIZE])
            del buffer[:OPENING_SIZE]
        while len(buffer) >= HEAD.size:
            size, kind, _ = HEAD.unpack_from(buffer)
            if len(buffer) < HEAD.size + size:
                return
            frame = bytes(buffer[: HEAD.size + size])
            del buffer[: len(frame)]
            yield from self._frame(way, frame, kind)

    def _frame(self, way: Way, frame: bytes, kind: int) -> Iterator[bytes]:
        yield from self.strike_in(frame, self.what(way, frame[HEAD.size :]) if kind == 0 else "")

    def strike_in(self, frame: bytes, what: str) -> Iterator[bytes]:
        """A frame that goes on, or what is left of it where this is the place to strike.

        :param what: as ``what`` says.
        """
        if not what or self.reached.is_set():
            yield frame
            return
        self.reached.set()
        how = self._place.removesuffix(what).strip()
        self._at()
        if how == "damaged":
            frame = frame[:-1] + bytes([frame[-1] ^ 1])
        if how == "half":
            yield frame[: len(frame) // 2]
        elif how != "before":
            yield frame
        if how in ("before", "half", "after"):
            self.cut()
            raise ConnectionAbortedError

    def what(self, way: Way, data: bytes) -> str:
        """ "end", "tail" or "answer" if these next bytes of main have that and it is where to
        strike; else empty."""
        if way == "back":
            found = any(isinstance(one, Shut) for one in self._answer.feed(data))
            return "answer" if found and self._place.endswith("answer") else ""
        if self._past_end:
            return "tail" if self._place.endswith("tail") else ""
        self._past_end = any(isinstance(one, RamEnd) for one in self._main.feed(data))
        return "end" if self._past_end and self._place.endswith("end") else ""


class Relay:
    """``ramferry relay`` as a process, with what it said."""

    def __init__(
        self,
        name: str,
        folder: Path,
        listen: str,
        connect: str,
        method: str,
        decide: float,
        once: bool = True,
        options: Sequence[str] = (),
    ):
        self._errors = folder / f"{name}.err"
        self._json = folder / f"{name}.json"
        line = [sys.executable, "-m", "ramferry", "relay", listen, connect, "--method", method]
        line += ["--decide", str(decide), "--json", str(self._json)] + ["--once"] * once
        line += options
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(line, stderr=errors, process_group=0)
        until(f"{name} listens", lambda: "listening on" in self.said, SECONDS)

    @property
    def said(self) -> str:
        return self._errors.read_text()

    @property
    def address(self) -> str:
        return self.said.partition("listening on ")[2].split()[0]

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._json.read_text())
        return found

    def wait(self, seconds: float = SECONDS) -> int:
        return self.process.wait(seconds)

    def holder(self) -> int:
        """The process that holds the source's connections, as its last words name it."""
        return int(self.said.rpartition("held open by process ")[2].split(";")[0])

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Guard:
    """Looks at both guests all the time: they must never run at once."""

    source: Qemu | BuiltIn
    destination: Qemu | BuiltIn
    both: bool = False
    states: tuple[str, str] = ("", "")
    looks: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="guard")
        self._thread.start()

    def tell(self, end: Qemu | BuiltIn, command: str, arguments: Any = None) -> Any:
        """Have a monitor do something, between two looks."""
        with self._lock:
            return end.qmp.execute(command, arguments)

    def end(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.01):
            with self._lock:
                before, there = seen(self.source), seen(self.destination)
                after = seen(self.source)
            self.both = self.both or {before, there, after} == {"running"}
            self.states = (after, there)
            self.looks += 1


def _with_channels(qemu: Qemu) -> None:
    prepare(qemu, "none", CHANNELS)


def slowly(qemu: Qemu) -> None:
    """What ``Stage`` takes as ``ready`` where something is to be done while memory moves."""
    prepare(qemu, "none", CHANNELS, {"max-bandwidth": 4 * MIB})


class Stage:
    """Two guests' homes, a relay at each or at one of them, and a proxy between; a context manager
    that ends the latter."""

    near: Relay
    far: Relay

    def __init__(
        self,
        source: Qemu | BuiltIn,
        destination: Qemu | BuiltIn,
        place: Place,
        *,
        decide: float = 20.0,
        strike: Callable[[Stage], None] = lambda _: None,
        lasting: bool = False,
        once: bool = True,
        relays: Collection[str] = ("near", "far"),
        cutter: type[Cutter] = Cutter,
        ready: Callable[[Qemu], None] = _with_channels,
    ) -> None:
        """
        :param once: whether the source's relay ends with this migration.
        :param relays: those that there are; where one is not, a built-in guest speaks ``relay:``.
        :param cutter: the proxy, which knows what is spoken there.
        :param ready: sets what one end of the migration needs.
        """
        self._ready = ready
        self.source, self.destination = source, destination
        self.guard = Guard(source, destination)
        folder = Path(str(source.folder))
        self.relays: list[Relay] = []
        ready(destination)  # type: ignore[arg-type]
        if "far" in relays:
            incoming = f"unix:{destination.folder}/in"
            destination.qmp.execute("migrate-incoming", {"uri": incoming})
            self.far = Relay("b", folder, "relay:127.0.0.1:0", incoming, "none", decide)
            self.relays.append(self.far)
            port = int(self.far.address.rpartition(":")[2])
        else:
            destination.qmp.execute("migrate-incoming", {"uri": "relay:127.0.0.1:0"})
            (bound,) = destination.qmp.execute("query-migrate")["socket-address"]
            port = int(bound["port"])
        self.proxy = cutter(
            TcpAddress("127.0.0.1", 0),
            TcpAddress("127.0.0.1", port),
            place,
            lambda: strike(self),
            lasting=lasting,
        )
        between = RelayAddress(self.proxy.address)  # type: ignore[arg-type]
        self._uri = str(between)
        if "near" in relays:
            self._uri = str(UnixAddress(f"{folder}/a"))
            self.near = Relay("a", folder, self._uri, str(between), "zstd", decide, once)
            self.relays.append(self.near)

    def begin(self) -> None:
        """Start the migration, and return at the place where the proxy strikes."""
        self._ready(self.source)  # type: ignore[arg-type]
        self.guard.start()
        self.guard.tell(self.source, "migrate", {"uri": self._uri})
        if self.proxy._place != "never":
            self.until("the switchover", self.proxy.reached.is_set, SECONDS)

    def tell(self, command: str) -> None:
        """Have the source's monitor do something."""
        self.guard.tell(self.source, command)

    def moves(self) -> None:
        """Wait until memory is on its way."""
        until("moving memory", lambda: self.proxy.passed > MEMORY // 256, SECONDS)

    def a_while(self) -> None:
        """Let some looks at the guests pass; they take half a second where nobody else is busy."""
        looks = self.guard.looks
        until("a while", lambda: self.guard.looks > looks + 30, SECONDS)

    def sees(self, source: str, destination: str, seconds: float = SECONDS) -> None:
        """Wait until the guests are so, then see that both never ran at once."""
        wanted = (source, destination)
        self.until(f"guests {wanted}", lambda: self.guard.states == wanted, seconds)
        self.never_both()

    def until(self, what: str, true: Callable[[], bool], seconds: float) -> None:
        """Wait for something; if it does not come to pass, say what the relays said."""
        try:
            until(what, true, seconds)
        except AssertionError as error:
            raise AssertionError(
                f"{error}: {self.guard.states}; {[one.said for one in self.relays]}"
            ) from error

    def never_both(self) -> None:
        assert not self.guard.both, f"two running guests; {[one.said for one in self.relays]}"

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *exc: object) -> None:
        self.guard.end()
        for one in self.relays:
            one.end()
        self.proxy.close()


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return True
    return stat.rpartition(") ")[2][0] == "Z"
