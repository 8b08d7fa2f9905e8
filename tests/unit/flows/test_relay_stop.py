"""The relay is told to end, or refuses to begin."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fakes_destination import Habits
from fakes_relay import RelayThread, Stage, until
from fakes_source import SETTLE
from fakes_wire import MAIN, Do, Guest, Script
from leftovers import no_descriptor_left
from ramferry.errors import HostError, UsageError
from ramferry.flows.relay import Relay
from ramferry.transport.address import TcpAddress

CANCELLED = 6


# --- in this process


def test_stopped_while_nothing_comes(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings, once=True) as relay:
        relay.relay.stop("SIGTERM")
        relay.ends()
        assert relay.result is None
        assert not relay.seen.results
    assert not (tmp_path / "relay").exists()


@pytest.mark.parametrize("what", ["preamble", "start", "part", "end"])
def test_stopped_during_a_migration(tmp_path: Path, what: str) -> None:
    script = Script(Guest())
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:

        def stop() -> None:
            until(lambda: relay.session is not None)
            relay.relay.stop("SIGTERM")
            until(lambda: bool(relay.seen.results))

        script.insert(script.find(what, MAIN), Do(stop))
        result = stage.fail(relay, script)
        assert result.error == "cancelled: SIGTERM; the guest stays at the source"
        assert result.exit_code == CANCELLED
        relay.ends()


def test_stopped_in_the_switchover_it_waits_for_the_answer(tmp_path: Path) -> None:
    script = Script(Guest())
    stage = Stage(tmp_path)
    reached, go_on = threading.Event(), threading.Event()

    def hesitate() -> None:
        reached.set()
        assert go_on.wait(SETTLE)

    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest, Habits(before_answer=hesitate)) as destination,
        stage.source(relay, script) as source,
    ):
        assert reached.wait(SETTLE)
        relay.relay.stop("SIGTERM")
        until(lambda: any("only the destination can end it" in one for one in relay.seen.notes))
        assert not relay.seen.results
        go_on.set()
        result = relay.finished()
        assert result.completed
        assert source.status == "completed"
        assert destination.complete
        relay.ends()


def test_rams_end_goes_on_no_more_once_the_migration_has_failed(tmp_path: Path) -> None:
    """The failure and the switchover meet: with the rest of the stream the destination would start
    the guest that the source resumes."""
    script = Script(Guest())
    stage = Stage(tmp_path)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest) as destination,
    ):
        failed = threading.Event()

        def fail() -> None:
            until(lambda: destination.marks == [0, 1, 2, 3])
            # the loop that would cut the connections does not come to it
            relay.session._wake = lambda: None
            relay.session.over.set = lambda: None
            relay.session.fail(HostError("the disk is full"))
            failed.set()

        end = script.find("end")
        step = script.steps[end]
        # the mark goes first, so that ram's END and the tail meet a session that has failed
        body = step.data  # type: ignore[union-attr]
        script.edit(end, lambda _: body[:-6])
        script.insert(end + 1, Do(fail), type(step)(MAIN, body[-6:], "rest"))  # type: ignore[call-arg]
        with stage.source(relay, script) as source:
            assert source.done.wait(SETTLE)
            assert failed.wait(SETTLE)
            until(lambda: not any(one.name == "main" for one in threading.enumerate()))
            assert not destination.complete
            del relay.session.over.set
            relay.session.over.set()
            assert relay.finished().error == "the disk is full"
            assert source.status == "failed"


# --- what a relay refuses to begin with


def test_an_address_in_use_is_a_host_error_and_leaves_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        refusal = r"cannot listen on unix:.*: another process listens"
        with no_descriptor_left(), pytest.raises(HostError, match=refusal):
            Relay(stage.settings, relay.seen)
        stage.carry(relay, Script(Guest()))


def test_a_port_in_use_is_a_host_error(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.over_tcp()
    with RelayThread(stage.settings) as relay:
        assert isinstance(relay.address, TcpAddress)
        stage.change(listen=relay.address)
        with pytest.raises(HostError, match=r"cannot listen on tcp:.*: Address already in use"):
            Relay(stage.settings, relay.seen)


def test_a_file_in_the_way_is_kept(tmp_path: Path) -> None:
    (tmp_path / "relay").write_text("precious")
    stage = Stage(tmp_path)
    with pytest.raises(HostError, match="the path exists and is not a socket"):
        RelayThread(stage.settings)
    assert (tmp_path / "relay").read_text() == "precious"


@pytest.mark.parametrize(
    ("method", "level"), [("zlib", 10), ("qatzip", 0), ("none", 1), ("lz4", 1)]
)
def test_a_bad_method_or_level_is_refused_before_anything_listens(
    tmp_path: Path, method: str, level: int
) -> None:
    stage = Stage(tmp_path, method=method, level=level)
    with pytest.raises(UsageError, match=method):
        RelayThread(stage.settings)
    assert not (tmp_path / "relay").exists()
