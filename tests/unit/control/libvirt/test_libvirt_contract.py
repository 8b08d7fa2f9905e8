"""One table of cases for what asks libvirt: its library, and ``virsh``."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fakes_libvirt import MEANS, FakeLibvirt
from patiently import until
from ramferry.control.libvirt import opening, virsh
from ramferry.control.libvirt.bounded import Aside
from ramferry.control.libvirt.contract import Move
from ramferry.control.libvirt.library import Library
from ramferry.control.libvirt.virsh import Virsh
from ramferry.errors import HostError, MethodUnavailable, PeerUnreachable, UsageError

LIVE_PARALLEL = 1 | 1 << 17
MOVE = Move("unix:///run/x", 8)


@pytest.fixture(params=MEANS)
def daemon(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FakeLibvirt:
    return FakeLibvirt(request.param, tmp_path, monkeypatch)


def test_what_it_tells_of_domains(daemon: FakeLibvirt) -> None:
    with daemon.connect() as near:
        assert near.names() == ["guest", "other"]
        assert (near.state("guest"), near.state("other")) == ("running", "shut off")
        assert "<name>guest</name>" in near.xml("guest")
        assert near.alive
    near.close()


@pytest.mark.parametrize("ask", ["state", "xml", "job", "abort"])
def test_a_domain_that_is_not_there(daemon: FakeLibvirt, ask: str) -> None:
    with daemon.connect() as near, pytest.raises(UsageError, match="'gast'"):
        getattr(near, ask)("gast")


def test_nobody_answers(daemon: FakeLibvirt) -> None:
    daemon.set("closed")
    with pytest.raises(PeerUnreachable, match="no libvirt answers at qemu:///system: Failed to "):
        daemon.connect()


def test_a_daemon_that_is_lost(daemon: FakeLibvirt) -> None:
    with daemon.connect() as near:
        daemon.set("lost")
        with pytest.raises(PeerUnreachable, match="libvirt"):
            near.state("guest")


@pytest.mark.parametrize(
    ("move", "flags", "more"),
    [
        (MOVE, 0, ""),
        (Move("unix:///run/x", 8, persistent=True, undefine_source=True), 8 | 16, ""),
        (Move("unix:///run/x", 8, peer_to_peer=True, unsafe=True), 2 | 512, ""),
        (Move("unix:///run/x", 8, auto_converge=True), 8192, ""),
        (Move("unix:///run/x", 8, copy_storage="all", disks_uri="tcp://b"), 64, "tcp://b"),
        (Move("unix:///run/x", 8, copy_storage="inc", disks_uri="tcp://b:1"), 128, "tcp://b:1"),
    ],
)
def test_what_it_is_asked_of_a_migration(
    daemon: FakeLibvirt, move: Move, flags: int, more: str
) -> None:
    with daemon.connect() as near, daemon.connect("qemu+ssh://beta/system") as far:
        near.migrate("guest", far, move)
    line = f"migrate qemu+ssh://beta/system {LIVE_PARALLEL | flags}"
    line += " migrate_uri=unix:///run/x parallel.connections=8"
    assert daemon.calls() == [line + (f" disks_uri={more}" if more else "")]


@pytest.mark.parametrize("peer_to_peer", [False, True])
def test_a_migration_that_is_refused(daemon: FakeLibvirt, peer_to_peer: bool) -> None:
    daemon.set("refuse")
    move = Move("unix:///run/x", 8, peer_to_peer=peer_to_peer)
    words = "^Requested operation is not valid: it has host devices$"
    with daemon.connect() as near, pytest.raises(MethodUnavailable, match=words):
        near.migrate("guest", near, move)


def test_a_job_is_watched_and_aborted_from_another_thread(daemon: FakeLibvirt) -> None:
    errors: list[BaseException] = []

    def migrate() -> None:
        try:
            near.migrate("guest", near, MOVE)
        except MethodUnavailable as error:
            errors.append(error)

    with daemon.connect() as near:
        assert near.job("guest") == {}
        with pytest.raises(MethodUnavailable, match="no job is active"):
            near.abort("guest")
        daemon.set("hold")
        thread = threading.Thread(target=migrate)
        thread.start()
        assert near.job("guest") == {
            "operation": 5,
            "memory_total": 1 << 40,
            "memory_remaining": 77,
        }
        near.abort("guest")
        thread.join(20)
        assert not thread.is_alive()
        assert "canceled by client" in str(errors[0])
        assert near.last_job("guest")["downtime"] == 77


def test_what_is_left_running_ends_with_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = FakeLibvirt("virsh", tmp_path, monkeypatch)
    daemon.set("hold")
    near = daemon.connect()
    failed = threading.Event()

    def migrate() -> None:
        with pytest.raises(MethodUnavailable):
            near.migrate("guest", near, MOVE)
        failed.set()

    threading.Thread(target=migrate, daemon=True).start()
    until(lambda: bool(daemon.calls()), 20)
    near.close()
    assert failed.wait(20)


@pytest.mark.parametrize("ask", ["state", "names"])
def test_a_question_that_nobody_waits_for_any_more_keeps_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    """libvirt would look at memory that is another's by then."""
    daemon = FakeLibvirt("library", tmp_path, monkeypatch)
    near = daemon.connect()
    daemon.set("stands")
    asked = Aside(lambda: near.names() if ask == "names" else near.state("guest"), "asks")
    until((tmp_path / "waits").exists, 20)
    near.close()
    assert not near.alive
    (tmp_path / "stands").unlink()
    assert asked.wait(20)
    assert (asked.answer, asked.error) == ({"state": "running"}.get(ask, ["guest", "other"]), None)
    with pytest.raises(PeerUnreachable, match="is closed"):
        near.names()


def test_a_migration_keeps_the_connection_that_it_goes_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = FakeLibvirt("library", tmp_path, monkeypatch)
    with daemon.connect() as near, daemon.connect("qemu+ssh://beta/system") as far:
        daemon.set("hold")
        moves = Aside(lambda: near.migrate("guest", far, MOVE), "migrates")
        until(lambda: bool(daemon.calls()), 20)
        far.close()
        near.abort("guest")
        assert moves.wait(20)
    assert "canceled by client" in str(moves.error)


def test_downtime_and_dirty_rate(daemon: FakeLibvirt) -> None:
    with daemon.connect() as near:
        near.set_max_downtime("guest", 50)
        near.measure_dirty_rate("guest", 3)
        assert near.dirty_rate("guest") is None
        daemon.set("measured")
        assert near.dirty_rate("guest") == 12
    assert daemon.calls() == ["downtime guest 50", "dirty guest 3"]


def test_a_guest_is_stopped(daemon: FakeLibvirt) -> None:
    with daemon.connect() as near:
        near.suspend("guest")
        with pytest.raises(UsageError):
            near.suspend("nobody")
    assert daemon.calls() == ["suspend guest"]


def test_the_monitor_is_passed_through(daemon: FakeLibvirt) -> None:
    with daemon.connect() as near:
        assert near.monitor("guest", "query-status") == {"status": "running"}
    assert daemon.calls() == ['monitor guest {"execute": "query-status"}']


def test_a_name_that_virsh_would_take_for_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = FakeLibvirt("virsh", tmp_path, monkeypatch).connect()
    with pytest.raises(UsageError, match="takes 12 for a running domain's number"):
        near.state("12")


def test_which_means_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = FakeLibvirt("library", tmp_path, monkeypatch)
    monkeypatch.setattr(opening, "loaded", lambda: None)
    with opening.connect("qemu:///system") as near:
        assert isinstance(near, Library)
    assert daemon.calls() == []

    def without() -> None:
        raise HostError("no library")

    monkeypatch.setattr(opening, "loaded", without)
    monkeypatch.setattr(virsh.shutil, "which", lambda _: None)
    with pytest.raises(HostError, match=r"neither libvirt's library nor virsh \(no library; "):
        opening.connect("qemu:///system")
    FakeLibvirt("virsh", tmp_path, monkeypatch)
    monkeypatch.setattr(virsh.shutil, "which", lambda _: str(tmp_path / "virsh"))
    with opening.connect("qemu:///system") as near:
        assert isinstance(near, Virsh)
