"""The stations of a trial, and the proxies between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
from campaign_guests import Peer
from campaign_monitor import Monitor
from campaign_processes import Family
from campaign_ssh import Sshd
from campaign_station import Station
from campaign_trial import Trial
from migrating import listen as listen_at_destination
from migrating import prepare

from certificates import authority, complete
from fault_proxy import Look, Proxy
from ramferry.transport.address import (
    Place,
    TcpAddress,
    UnixAddress,
    moved,
    parse_address,
    parse_place,
    place_of,
)

CAPS = {"none": "16M", "zstd": "8M", "qatzip": "8M"}
"""Wire bytes a second: a first round takes a second or two."""
STALL_TIMEOUT = 4
"""Of hand-run relays: shorter than some stalls, longer than others."""


DECIDE = 6
"""Seconds that such relays ask each other how a switchover ended."""


class Route:
    """All stations of a trial between its two peers; a context manager that ends them."""

    def __init__(self, trial: Trial, folder: Path, look: Look, made: Callable[[str], None]) -> None:
        """:param made: is told the place of each proxy before anybody can connect to it."""
        self.trial = trial
        self.stations: dict[str, Station] = {}
        self.proxies: dict[str, Proxy] = {}
        self.began = 0.0
        """When the migration, or the command for it, was begun."""
        self.family = Family()
        """Whom the stations started."""
        self.folder = folder
        self.sshd: Sshd | None = None
        self.source: Peer
        self.destination: Peer
        self._look = look
        self._made = made
        self._stack = ExitStack()

    def __enter__(self) -> Route:
        return self

    def __exit__(self, *exc: object) -> None:
        for station in self.stations.values():
            station.process.kill()
            station.process.wait(10)
        self.note_children()
        self.family.end()
        self._stack.close()

    def start(self, source: Peer, destination: Peer) -> None:
        """Start the stations, and the migration."""
        self.source, self.destination = source, destination
        self._managed() if self.trial.managed else self._by_hand()

    @property
    def incoming(self) -> str:
        """Where the last relay that was started by hand finds a destination."""
        return f"unix:{self.folder}/in"

    def way_in(self, first: Station) -> str:
        """Where a source begins that is to go by hand-run relays: another one is started where
        only a Ramferry may call.

        :param first: the first of those.
        """
        uri = first.listening()
        if not uri.startswith("relay:"):
            return uri
        arguments = ["relay", f"unix:{self.folder}/next", uri, "--method", self.trial.method]
        arguments += ["--once", "--events", *self._credentials()]
        return self._station("next", arguments).listening()

    def heal(self) -> None:
        """No proxy hurts any more."""
        for proxy in self.proxies.values():
            proxy.heal()

    def note_children(self) -> None:
        """Remember whom the stations have started by now."""
        roots = [one.process.pid for one in self.stations.values() if one.alive]
        if self.sshd is not None:
            roots.append(self.sshd.process.pid)
        self.family.note(roots)

    def process(self, name: str) -> psutil.Process | None:
        """A station, or whom one has started: see ``Family.find``."""
        if name in self.stations:
            return psutil.Process(self.stations[name].process.pid)
        self.note_children()
        return self.family.find(name)

    # --- ways

    def _managed(self) -> None:
        trial = self.trial
        options = ["--method", trial.method, "--channels", str(trial.channels)]
        options += ["--max-bandwidth", CAPS[trial.method], "--downtime-limit", "60"]
        if trial.timeout:
            options += ["--timeout", f"{trial.timeout:g}"]
        if trial.topology == "local":
            options += ["--relay", "both"]
            if "far" in (trial.watch, trial.place):
                options += ["--incoming", self.incoming]
        elif trial.topology == "direct":
            options += ["--relay", "none"] if trial.method == "none" else []
        elif trial.topology == "ssh":
            self._by_ssh(options)
            return
        else:
            options += ["--relay", "source", *self._credentials()]
            options += ["--via", self._far_relay(self.incoming).removeprefix("tcp:")]
            options += ["--incoming", self.incoming]
        ends = (self._monitor("source"), self._monitor("destination"))
        self.began = time.monotonic()
        self._station("migrate", ["migrate", *ends, *options])

    def _by_ssh(self, options: list[str]) -> None:
        self.sshd = sshd = Sshd(self.folder / "ssh")
        self._stack.callback(sshd.close)
        way = parse_place(self._through("wire", f"tcp:127.0.0.1:{sshd.port}"))
        assert isinstance(way, TcpAddress)
        options += ["--remote-command", sshd.remote_command]
        options += ["--through-ssh"] if self.trial.once else ["--data-address", "127.0.0.1"]
        destination = f"ssh://far{self.destination.uri.removeprefix('qmp:')}"
        source = self._monitor("source")
        self.began = time.monotonic()
        arguments = ["migrate", source, destination, *options]
        self.stations["migrate"] = Station("migrate", self.folder, arguments, sshd.ssh_to(way.port))

    def _by_hand(self) -> None:
        trial, folder = self.trial, self.folder
        lone = trial.topology == "one"
        incoming = listen_at_destination(
            self.destination,  # type: ignore[arg-type]
            trial.method if lone else "none",
            trial.channels,
            self.incoming,
        )
        onward = self._through("far", incoming) if lone else self._far_relay(incoming)
        arguments = ["relay", f"unix:{folder}/out", onward, "--method", trial.method]
        arguments += ["--max-bandwidth", CAPS[trial.method], *self._relay_options()]
        address = self._through("near", self._station("near", arguments).listening())
        settings = {"max-bandwidth": 0, "downtime-limit": 60}
        prepare(self.source, "none", trial.channels, settings)  # type: ignore[arg-type]
        self.began = time.monotonic()
        self.source.qmp.execute("migrate", {"uri": address})

    def _far_relay(self, incoming: str) -> str:
        """Start the relay beside the destination; the URI that leads to it."""
        onward = self._through("far", incoming)
        arguments = ["relay", self._wire_address(), onward, "--method", "none"]
        arguments += self._relay_options()
        return self._through("wire", self._station("far", arguments).listening())

    def _wire_address(self) -> str:
        scheme = "tcp" if self.trial.way_there.wire == "tcp" else "relay"
        return f"{scheme}:127.0.0.1:0"

    def _credentials(self) -> list[str]:
        """``--tls-creds``, where relays meet inside TLS."""
        if self.trial.way_there.wire != "tls":
            return []
        folder = self.folder / "credentials"
        if not folder.exists():
            complete(folder, authority())
        return ["--tls-creds", str(folder)]

    def _relay_options(self) -> list[str]:
        options = ["--events", *(["--once"] if self.trial.once else []), *self._credentials()]
        if self.trial.way_there.verified:
            options += ["--decide", str(DECIDE)]
        if not self.trial.managed:
            options += ["--stall-timeout", str(STALL_TIMEOUT)]
            options += ["--channels", str(self.trial.channels)]
        return options

    def _station(self, name: str, arguments: list[str]) -> Station:
        self.stations[name] = Station(name, self.folder, arguments)
        return self.stations[name]

    # --- proxies

    def _through(self, place: str, target: str) -> str:
        """Put a proxy before ``target``, where one belongs there; the URI that leads through."""
        if place not in (self.trial.watch, self.trial.place):
            return target
        goal = parse_address(target)
        unix = isinstance(place_of(goal), UnixAddress)
        here: Place = UnixAddress(f"{self.folder}/{place}-proxy") if unix else _any_port()
        return str(moved(goal, self._proxy(place, here, place_of(goal))))

    def _proxy(self, place: str, here: Place, goal: Place) -> Place:
        looks = (self._look,) if place == self.trial.watch else ()
        self.proxies[place] = proxy = Proxy(here, goal, *looks)
        self._stack.callback(proxy.close)
        self._made(place)
        return place_of(proxy.address)

    def _monitor(self, side: str) -> str:
        """Where ``migrate`` finds the QEMU, through a proxy where something is to happen there."""
        peer = self.source if side == "source" else self.destination
        trial = self.trial
        lead = "wire" if trial.topology == "direct" else "near"
        rerouted = {
            "source": lead in (trial.watch, trial.place),
            "destination": trial.topology == "local" and "far" in (trial.watch, trial.place),
        }[side]
        if not rerouted and trial.place != f"qmp-{side}":
            return peer.uri
        monitor = Monitor(peer, self._reroute if rerouted else lambda _, uri: uri)
        self._stack.callback(monitor.proxy.close)
        self.proxies[f"qmp-{side}"] = monitor.proxy
        return monitor.uri

    def _reroute(self, command: str, uri: str) -> str:
        """Have the way that a command begins lead through the proxy."""
        if command == "migrate":
            lead = "wire" if self.trial.topology == "direct" else "near"
            return self._through(lead, uri)
        if command == "migrate-incoming":
            real = UnixAddress(f"{self.folder}/in.real")
            self._proxy("far", place_of(parse_address(uri)), real)
            return str(real)
        return uri


def _any_port() -> TcpAddress:
    return TcpAddress("127.0.0.1", 0)
