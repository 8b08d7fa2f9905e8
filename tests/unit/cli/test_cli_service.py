"""A relay as a service: what its manager hears, how it drains, how certificates are renewed."""

from __future__ import annotations

import shutil
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from certificates import authority, complete
from fakes_destination import FakeDestination, Habits
from fakes_manager import Served
from fakes_relay import Recorder, until
from fakes_source import FakeSource, dial
from fakes_wire import MAIN, Do, Guest, Script
from ramferry.cli.supervision import Supervision
from ramferry.errors import PeerUnreachable
from ramferry.metrics import RelayCounters
from ramferry.transport import credentials
from ramferry.transport.address import UnixAddress, parse_address
from ramferry.transport.dialing import connect
from ramferry.transport.notify import Notifier
from ramferry.transport.security import Security

LATE = 30.0
"""Seconds for what takes one, on a busy machine."""
CANCELLED = "failed: cancelled: "


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """A relay's file, but for what a test adds."""
    return {
        "listen": f"unix:{tmp_path}/source",
        "connect": f"unix:{tmp_path}/destination",
        "method": "zlib",
    }


class Halted:
    """A migration that stands still in the middle until it is let go."""

    def __init__(self, folder: Path) -> None:
        self.script = Script(Guest())
        self.go_on = threading.Event()
        self.script.insert(self.script.find("part", MAIN), Do(lambda: self.go_on.wait(LATE)))
        self.destination = FakeDestination(
            UnixAddress(str(folder / "destination")), self.script.guest, "zlib", Habits()
        )
        self.source = FakeSource(UnixAddress(str(folder / "source")), self.script)

    def __enter__(self) -> Halted:
        until(lambda: self.destination.marks == [0], LATE, "the first mark")
        return self

    def __exit__(self, *exc: object) -> None:
        self.go_on.set()
        self.source.close()
        self.destination.close()


def test_ready_under_way_and_over(tmp_path: Path, place: dict[str, str]) -> None:
    with Served(tmp_path, "relay", **place) as relay:
        assert relay.ready() == place["listen"]
        assert not relay.manager.count("WATCHDOG=1")
        with Halted(tmp_path) as under_way:
            until(
                lambda: any("of pages as" in one for one in relay.manager.statuses()),
                LATE,
                "STATUS",
            )
            under_way.go_on.set()
            until(lambda: "1 carried, 0 failed" in relay.manager.statuses()[-1], LATE, "the end")
            assert under_way.source.status == "completed"
        assert relay.manager.statuses()[-1].startswith(f"STATUS=listening on {place['listen']};")
        relay.child.terminate()
        assert relay.end() == 0
        assert relay.manager.count("STOPPING=1") == 1
        assert "STATUS=SIGTERM: no new migration is taken" in relay.manager.statuses()[-1]


def test_a_relay_with_a_reader_of_its_events_tells_nobody_else(
    tmp_path: Path, place: dict[str, str]
) -> None:
    with Served(tmp_path, "relay", **place, events=True) as relay:
        until(lambda: listens(tmp_path / "source"), LATE)
        relay.child.terminate()
        assert relay.end() == 0
        assert relay.manager.heard() == []


def listens(path: Path) -> bool:
    try:
        dial(UnixAddress(str(path))).close()
    except OSError:
        return False
    return True


def test_the_watchdog_is_fed_by_a_loop_that_turns(tmp_path: Path, place: dict[str, str]) -> None:
    with Served(tmp_path, "relay", **place, environ={"WATCHDOG_USEC": "200000"}) as relay:
        relay.ready()
        until(lambda: relay.manager.count("WATCHDOG=1") >= 5, LATE, "five meals")
        relay.child.send_signal(signal.SIGSTOP)
        until(lambda: "\nState:\tT" in Path(f"/proc/{relay.child.pid}/status").read_text(), LATE)
        fed = relay.manager.count("WATCHDOG=1")
        threading.Event().wait(1.0)
        assert relay.manager.count("WATCHDOG=1") == fed
        relay.child.send_signal(signal.SIGCONT)
        until(lambda: relay.manager.count("WATCHDOG=1") > fed, LATE, "one more")


def test_the_watchdog_is_fed_at_half_its_time_and_status_told_every_two_seconds() -> None:
    told: list[str] = []
    now = [100.0]

    class Told(Notifier):
        listens = True  # type: ignore[assignment]

        def tell(self, *lines: str) -> None:
            told.extend(lines)

    notifier = Told({})
    notifier.watchdog = 10.0
    supervision = Supervision(Recorder(), notifier, lambda: now[0])
    for _ in range(200):
        supervision.turned()
        now[0] += 0.1
    assert told == ["WATCHDOG=1"] * 4
    told.clear()
    counters = RelayCounters(1.0, 0, 2_000_000, 0, 0, 0, 8_000_000, 0, 0.0, migration="aabbccdd")
    for _ in range(50):
        supervision.progress(counters)
        now[0] += 0.1
    line = "STATUS=migration aabbccdd: 8 MB of pages as 2 MB in 1 s; 0 carried, 0 failed"
    assert told == [line] * 3


# --- draining


def test_what_is_under_way_ends_before_the_relay_does(
    tmp_path: Path, place: dict[str, str]
) -> None:
    with Served(tmp_path, "relay", **place, drain=LATE) as relay:
        relay.ready()
        with Halted(tmp_path) as under_way:
            relay.child.terminate()
            relay.notes("SIGTERM: no new migration is taken; what is under way has 30 s to end")
            until(lambda: relay.manager.count("STOPPING=1") == 1, LATE)
            assert under_way.source.shut is None
            under_way.go_on.set()
            assert relay.end() == 0
            assert under_way.source.status == "completed"
            assert under_way.destination.memory == under_way.script.memory
        assert not (tmp_path / "source").exists()


@pytest.mark.parametrize("again", [True, False], ids=["a second signal", "its time is over"])
def test_how_a_drain_ends_sooner(tmp_path: Path, place: dict[str, str], again: bool) -> None:
    with Served(tmp_path, "relay", **place, drain=LATE if again else 1.0) as relay:
        relay.ready()
        with Halted(tmp_path) as under_way:
            relay.child.terminate()
            relay.notes("no new migration is taken")
            if again:
                relay.child.terminate()
            assert relay.end() == 0
            why = "SIGTERM" if again else "the 1 s of --drain are over"
            assert f"{CANCELLED}{why}; the guest stays at the source" in relay.said()
            assert under_way.source.shut is None


def test_with_nothing_under_way_a_drain_is_over_at_once(
    tmp_path: Path, place: dict[str, str]
) -> None:
    with Served(tmp_path, "relay", **place, drain=3600) as relay:
        relay.ready()
        relay.child.terminate()
        assert relay.end() == 0
        assert "no new migration" not in relay.said()


def test_without_a_drain_it_is_cancelled(tmp_path: Path, place: dict[str, str]) -> None:
    with Served(tmp_path, "relay", **place) as relay:
        relay.ready()
        with Halted(tmp_path):
            relay.child.terminate()
            assert relay.end() == 0
            assert f"{CANCELLED}SIGTERM; the guest stays at the source" in relay.said()


# --- certificates


def shown(address: str, pki: Path) -> bool:
    """Whether a side with these certificates and a relay accept each other."""
    at = parse_address(address)
    security = Security(credentials.read(pki))
    try:
        connection = connect(at, security)
    except PeerUnreachable:
        return False
    connection.close()
    return True


@pytest.mark.parametrize("kind", ["relay", "tls"])
def test_certificates_are_used_from_a_reload_on(tmp_path: Path, kind: str) -> None:
    pki, other = (complete(tmp_path / name, authority()) for name in ("pki", "other"))
    former = shutil.copytree(pki, tmp_path / "former")
    keys = {"listen": f"{kind}:127.0.0.1:0", "connect": "unix:/nobody", "method": "none"}
    with Served(tmp_path, "relay", **keys, tls_creds=str(pki)) as relay:
        address = relay.ready()
        assert shown(address, former)
        for file in other.iterdir():
            shutil.copy(file, pki)
        # what lies there now is not used yet
        assert shown(address, former)
        assert not shown(address, other)
        reload(relay, "SIGUSR1: new connections use the certificates as they are now")
        assert shown(address, other)
        assert not shown(address, former)
        # one that is broken is not used at all
        shutil.copy(former / "server-cert.pem", pki)
        reload(
            relay,
            f"the former certificates stay in use: {pki}/server-key.pem is not the key of "
            f"{pki}/server-cert.pem",
        )
        assert shown(address, other)
        for name in ("server-cert.pem", "server-key.pem"):
            (pki / name).unlink()
        reload(relay, f"the former certificates stay in use: {pki} has no server-cert.pem")
        assert shown(address, other)


def reload(relay: Served, sentence: str) -> None:
    """Reload, and see the manager hear that it begins and ends, with this sentence between."""
    begun, ready = relay.manager.count("RELOADING=1"), relay.manager.count("READY=1")
    relay.child.send_signal(signal.SIGUSR1)
    until(lambda: relay.manager.count("READY=1") > ready, LATE, "the reload ends")
    assert relay.manager.count("RELOADING=1") == begun + 1
    relay.notes(sentence)


def test_a_reload_without_certificates_changes_nothing(
    tmp_path: Path, place: dict[str, str]
) -> None:
    with Served(tmp_path, "relay", **place) as relay:
        relay.ready()
        reload(relay, "SIGUSR1: there is no --tls-creds to be read again")
        with Halted(tmp_path) as under_way:
            reload(relay, "SIGUSR1: there is no --tls-creds to be read again")
            under_way.go_on.set()
            until(under_way.source.ended.is_set, LATE)
            assert under_way.source.status == "completed"


def test_a_certificate_that_expires_soon_is_told_of(tmp_path: Path) -> None:
    soon = timedelta(days=20)
    pki = complete(tmp_path / "pki", authority(until=soon))
    keys = {"listen": "relay:127.0.0.1:0", "connect": "unix:/nobody", "method": "none"}
    with Served(tmp_path, "relay", **keys, tls_creds=str(pki)) as relay:
        relay.ready()
        relay.notes(f"ramferry relay: {pki}/server-cert.pem expires in 19 days, at ")
        complete(pki, authority())
        reload(relay, "new connections use the certificates as they are now")
        until(lambda: relay.said().count("expires in") >= 3)
        assert relay.said().count("expires in") == 3
