"""The processes of a trial, and the proxies between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
from campaign_guests import Peer
from campaign_trial import Trial
from meddling import Line, Proxy, Way
from migrating import listen as listen_at_destination
from migrating import prepare

from ramferry.bench.monitored import dies_with_us
from ramferry.transport.address import Address, TcpAddress, UnixAddress, parse_address

CAPS = {"none": "16M", "zstd": "8M", "qatzip": "8M"}
"""Wire bytes a second: a first round takes a second or two."""
START_SECONDS = 20.0
STALL_TIMEOUT = 4
"""Of hand-run relays: shorter than some stalls, longer than others."""
Look = Callable[[Line, Way, bytes], Iterator[bytes]]


class Station:
    """One ``ramferry`` process; its output goes to files."""

    def __init__(self, name: str, folder: Path, arguments: list[str]) -> None:
        self.name = name
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        self.temporary = folder / f"{name}-tmp"
        self.temporary.mkdir()
        self.started = time.monotonic()
        self.ended_at = 0.0
        """When it was first seen to have ended."""
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*dies_with_us(), sys.executable, "-m", "ramferry", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                process_group=0,
            )

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        if self.process.poll() is None:
            return True
        self.ended_at = self.ended_at or time.monotonic()
        return False

    def told(self) -> list[str]:
        """What it has said on standard error, in lines."""
        return self._err.read_text(errors="replace").splitlines()

    def sockets(self) -> list[str]:
        """UNIX sockets where it has listened that are still there."""
        first, _, _ = self._out.read_text().partition("\n")
        uri = str(json.loads(first)["uri"]) if first.startswith("{") else ""
        path = uri.removeprefix("unix:")
        return [path] if path != uri and os.path.exists(path) else []

    def listening(self) -> str:
        """Wait for a relay's ``listening``; its URI."""
        deadline = time.monotonic() + START_SECONDS
        while self.alive and time.monotonic() < deadline:
            line, newline, _ = self._out.read_text().partition("\n")
            if newline:
                return str(json.loads(line)["uri"])
            time.sleep(0.01)
        raise AssertionError(f"the relay {self.name} does not listen: {self.told()}")


class Monitor:
    """A QMP connection's proxy: it can have a command's address lead through another proxy."""

    def __init__(self, peer: Peer, reroute: Callable[[str, str], str]) -> None:
        """:param reroute: is given a command's name and URI, and returns the URI to send."""
        self._reroute = reroute
        path = peer.uri.removeprefix("qmp:")
        self.proxy = Proxy(TcpAddress("127.0.0.1", 0), UnixAddress(path), self._look)
        assert isinstance(self.proxy.address, TcpAddress)
        self.uri = f"qmp:127.0.0.1:{self.proxy.address.port}"

    def _look(self, line: Line, way: Way, data: bytes) -> Iterator[bytes]:
        line.name = "qmp"
        if way == "back":
            yield data
            return
        kept = line.watch if isinstance(line.watch, bytes) else b""
        *lines, rest = (kept + data).split(b"\n")
        for one in lines:
            yield self._changed(one) + b"\n"
        if rest and _whole(rest):
            yield self._changed(rest)
            rest = b""
        line.watch = rest

    def _changed(self, line: bytes) -> bytes:
        if b"uri" not in line:
            return line
        command: dict[str, Any] = json.loads(line)
        uri = command.get("arguments", {}).get("uri")
        if uri is None:
            return line
        command["arguments"]["uri"] = self._reroute(command["execute"], uri)
        return json.dumps(command).encode()


def _whole(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class Route:
    """All stations of a trial between its two peers; a context manager that ends them."""

    def __init__(
        self, trial: Trial, source: Peer, destination: Peer, folder: Path, look: Look
    ) -> None:
        self.trial = trial
        self.source, self.destination = source, destination
        self.stations: dict[str, Station] = {}
        self.proxies: dict[str, Proxy] = {}
        self.began = 0.0
        """When the migration, or the command for it, was begun."""
        self.children: dict[int, psutil.Process] = {}
        """Whom the stations started, by process id."""
        self._folder = folder
        self._look = look
        self._stack = ExitStack()

    def __enter__(self) -> Route:
        try:
            self._managed() if self.trial.managed else self._by_hand()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for station in self.stations.values():
            station.process.kill()
            station.process.wait(10)
        for child in self.children.values():
            with suppress(psutil.Error):
                child.kill()
                child.wait(10)
        self._stack.close()

    def note_children(self) -> None:
        """Remember whom the stations have started by now."""
        for station in self.stations.values():
            if station.alive:
                try:
                    found = psutil.Process(station.process.pid).children(recursive=True)
                except psutil.Error:
                    continue
                self.children |= {child.pid: child for child in found}

    def relay(self, name: str) -> psutil.Process | None:
        """The near or far relay, whoever started it."""
        if name in self.stations:
            return psutil.Process(self.stations[name].process.pid)
        self.note_children()
        for child in self.children.values():
            try:
                line = child.cmdline()
            except psutil.Error:
                continue
            if "relay" in line and ("source-relay" in " ".join(line)) == (name == "near"):
                return child
        return None

    # --- routes

    def _managed(self) -> None:
        trial, folder = self.trial, self._folder
        options = ["--method", trial.method, "--channels", str(trial.channels)]
        options += ["--max-bandwidth", CAPS[trial.method], "--downtime-limit", "60"]
        if trial.timeout:
            options += ["--timeout", f"{trial.timeout:g}"]
        if trial.topology == "local":
            options += ["--relay", "both"]
            if trial.watch == "far":
                options += ["--incoming", f"unix:{folder}/in"]
        elif trial.topology == "direct":
            options += ["--relay", "none"] if trial.method == "none" else []
        else:
            options += ["--relay", "source"]
            options += ["--via", self._far_relay(f"unix:{folder}/in")]
            options += ["--incoming", f"unix:{folder}/in"]
        ends = (self._monitor("source"), self._monitor("destination"))
        self.began = time.monotonic()
        self._station("migrate", ["migrate", *ends, *options])

    def _far_relay(self, incoming: str) -> str:
        """Start the relay beside the destination; HOST:PORT for ``--via``."""
        return self._tcp_relay(incoming, "none").removeprefix("tcp:")

    def _tcp_relay(self, incoming: str, method: str) -> str:
        onward = self._through("far", incoming)
        arguments = ["relay", "tcp:127.0.0.1:0", onward, "--method", method]
        arguments += ["--once", "--events"]
        if not self.trial.managed:
            arguments += ["--stall-timeout", str(STALL_TIMEOUT)]
        return self._through("wire", self._station("far", arguments).listening())

    def _by_hand(self) -> None:
        trial, folder = self.trial, self._folder
        lone = trial.topology == "one"
        incoming = listen_at_destination(
            self.destination,  # type: ignore[arg-type]
            trial.method if lone else "none",
            trial.channels,
            f"unix:{folder}/in",
        )
        onward = self._through("far", incoming) if lone else self._tcp_relay(incoming, "none")
        arguments = ["relay", f"unix:{folder}/out", onward, "--method", trial.method]
        arguments += ["--max-bandwidth", CAPS[trial.method], "--once", "--events"]
        arguments += ["--stall-timeout", str(STALL_TIMEOUT)]
        address = self._through("near", self._station("near", arguments).listening())
        settings = {"max-bandwidth": 0, "downtime-limit": 60}
        prepare(self.source, "none", trial.channels, settings)  # type: ignore[arg-type]
        self.began = time.monotonic()
        self.source.qmp.execute("migrate", {"uri": address})

    def _station(self, name: str, arguments: list[str]) -> Station:
        self.stations[name] = Station(name, self._folder, arguments)
        return self.stations[name]

    def _through(self, place: str, target: str) -> str:
        """Put the proxy before ``target``, where it belongs there; the URI that leads through."""
        if self.trial.watch != place:
            return target
        goal = parse_address(target)
        unix = isinstance(goal, UnixAddress)
        here: Address = UnixAddress(f"{self._folder}/proxy") if unix else _any_port()
        return str(self._proxy(place, here, goal))

    def _proxy(self, place: str, here: Address, goal: Address) -> Address:
        self.proxies[place] = proxy = Proxy(here, goal, self._look)
        self._stack.callback(proxy.close)
        return proxy.address

    def _monitor(self, side: str) -> str:
        """Where ``migrate`` finds the QEMU, through a proxy where something is to happen there."""
        peer = self.source if side == "source" else self.destination
        watch = self.trial.watch
        rerouted = {
            "source": watch == "near" or (self.trial.topology == "direct" and watch == "wire"),
            "destination": self.trial.topology == "local" and watch == "far",
        }[side]
        if not rerouted and self.trial.place != f"qmp-{side}":
            return peer.uri
        monitor = Monitor(peer, self._reroute if rerouted else lambda _, uri: uri)
        self._stack.callback(monitor.proxy.close)
        self.proxies[f"qmp-{side}"] = monitor.proxy
        return monitor.uri

    def _reroute(self, command: str, uri: str) -> str:
        """Have the way that a command begins lead through the proxy."""
        here: Address
        goal = parse_address(uri)
        if command == "migrate":
            unix = isinstance(goal, UnixAddress)
            here = UnixAddress(f"{self._folder}/proxy") if unix else _any_port()
            return str(self._proxy(self.trial.watch, here, goal))
        if command == "migrate-incoming":
            real = UnixAddress(f"{self._folder}/in.real")
            self._proxy(self.trial.watch, goal, real)
            return str(real)
        return uri


def _any_port() -> TcpAddress:
    return TcpAddress("127.0.0.1", 0)
