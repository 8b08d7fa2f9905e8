"""The unit under a real systemd, where one boots in a container: a relay's whole life.

Not marked ``interop``: many machines that run all other tests boot no container.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from booting import PATIENCE, Booted, NotHere, booted
from fakes_destination import FakeDestination
from fakes_manager import toml
from fakes_relay import until
from fakes_source import FakeSource
from fakes_wire import MAIN, Do, Guest, Script
from ramferry.transport.address import UnixAddress

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SERVICE = "ramferry-relay@a"
RUN = "/run/ramferry/a"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    try:
        with booted(tmp_path_factory.mktemp("booted")) as made:
            yield made
    except NotHere as error:
        pytest.skip(str(error))


@pytest.fixture
def relay(host: Booted) -> Iterator[Booted]:
    """The service runs."""
    keys = {"listen": f"unix:{RUN}/source", "connect": f"unix:{RUN}/destination"}
    (host.root / "etc/ramferry/a.toml").write_text(
        toml({**keys, "method": "zstd", "drain": PATIENCE})
    )
    assert host.run("systemctl", "start", SERVICE) == "", journal(host)
    yield host
    host.run("systemctl", "stop", SERVICE)
    host.run("systemctl", "reset-failed")


def journal(host: Booted) -> str:
    return host.run("journalctl", "--no-pager", "-o", "cat", "-u", "ramferry-relay@*")


def pid(host: Booted) -> int:
    return int(host.show(SERVICE, "MainPID")["MainPID"])


class Halted:
    """A migration that stands still in the middle until it is let go."""

    def __init__(self, host: Booted) -> None:
        self.script = Script(Guest())
        self.go_on = threading.Event()
        self.script.insert(self.script.find("part", MAIN), Do(lambda: self.go_on.wait(PATIENCE)))
        place = host.root / RUN.lstrip("/")
        self.destination = FakeDestination(
            UnixAddress(str(place / "destination")), self.script.guest, "zstd"
        )
        self.source = FakeSource(UnixAddress(str(place / "source")), self.script)

    def __enter__(self) -> Halted:
        until(lambda: self.destination.marks == [0], PATIENCE, "the first mark")
        return self

    def __exit__(self, *exc: object) -> None:
        self.go_on.set()
        self.source.close()
        self.destination.close()


def test_a_stop_waits_for_what_is_under_way(relay: Booted) -> None:
    assert host_status(relay).startswith(f"listening on unix:{RUN}/source; 0 carried, 0 failed")
    with Halted(relay) as under_way:
        until(lambda: "of pages as" in host_status(relay), PATIENCE, "the status")
        assert relay.run("systemctl", "reload", SERVICE) == ""
        assert relay.run("systemctl", "stop", "--no-block", SERVICE) == ""
        until(lambda: "no new migration is taken" in host_status(relay), PATIENCE, "the drain")
        assert relay.show(SERVICE, "ActiveState")["ActiveState"] == "deactivating"
        under_way.go_on.set()
        until(
            lambda: relay.show(SERVICE, "ActiveState")["ActiveState"] == "inactive",
            PATIENCE,
            "the end",
        )
        assert under_way.source.status == "completed"
        assert under_way.destination.memory == under_way.script.memory
    assert relay.show(SERVICE, "Result", "ExecMainStatus") == {
        "Result": "success",
        "ExecMainStatus": "0",
    }


def host_status(host: Booted) -> str:
    return host.show(SERVICE, "StatusText")["StatusText"]


def test_a_killed_relay_comes_back(relay: Booted) -> None:
    killed = pid(relay)
    with Halted(relay) as under_way:
        relay.run("kill", "-9", str(killed))
        until(under_way.source.ended.is_set, PATIENCE, "the source is told")
        assert under_way.source.status == "failed"
    until(lambda: pid(relay) not in (0, killed), PATIENCE, "a restart")
    until(lambda: relay.run("systemctl", "is-active", SERVICE) == "active", PATIENCE)


def test_a_relay_that_hangs_is_found_by_the_watchdog(relay: Booted) -> None:
    drop_in = relay.root / "run/systemd/system" / f"{SERVICE}.service.d"
    drop_in.mkdir(parents=True, exist_ok=True)
    (drop_in / "watchdog.conf").write_text(
        "[Service]\nWatchdogSec=5\nTimeoutAbortSec=2\nRestartSec=1\n"
    )
    relay.run("systemctl", "daemon-reload")
    relay.run("systemctl", "restart", SERVICE)
    fed = pid(relay)
    threading.Event().wait(12)
    assert pid(relay) == fed, "it was fed"
    relay.run("kill", f"-{signal.SIGSTOP.name.removeprefix('SIG')}", str(fed))
    until(lambda: pid(relay) not in (0, fed), PATIENCE, "a restart")
    assert "Failed with result 'watchdog'" in journal(relay)


@pytest.mark.parametrize(
    ("keys", "code", "again", "sentence"),
    [
        ({"chanels": 3}, 2, False, "/etc/ramferry/b.toml, line 4: there is no key 'chanels'"),
        ({"listen": "unix:/var/b"}, 8, True, "cannot listen on unix:/var/b: Read-only file system"),
    ],
    ids=["wrong", "refused"],
)
def test_what_does_not_begin(
    host: Booted, keys: dict[str, object], code: int, again: bool, sentence: str
) -> None:
    good = {"listen": "unix:/run/ramferry/b/s", "connect": "unix:/b", "method": "none"}
    (host.root / "etc/ramferry/b.toml").write_text(toml({**good, **keys}))
    try:
        assert "failed" in host.run("systemctl", "start", "ramferry-relay@b")
        shown = host.show("ramferry-relay@b", "ExecMainStatus", "ActiveState")
        assert shown["ExecMainStatus"] == str(code)
        assert (shown["ActiveState"] == "activating") == again
        assert sentence in journal(host)
    finally:
        host.run("systemctl", "stop", "ramferry-relay@b")
