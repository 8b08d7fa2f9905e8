"""A relay as a child: its command line, its events, its end."""

import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from fakes_clock import stopping
from ramferry.control.hosts.host import Here
from ramferry.control.hosts.started import start_line
from ramferry.control.migrate import relay_child
from ramferry.control.migrate.cause import Complaint, Rank
from ramferry.control.migrate.relay_child import RelayChild, relay_arguments
from ramferry.control.migrate.relays import Relays
from ramferry.control.migrate.route import RelayStep
from ramferry.errors import HostError, PeerTimeout, UsageError
from ramferry.flows.outcome import cancelled
from ramferry.flows.session.session import Phase
from ramferry.metrics import ChannelCounters, RelayCounters, RelayResult

COUNTERS = RelayCounters(
    1.5, 4200, 1000, 8, 7, 1, 28672, 2, 0.25, (ChannelCounters("multifd 0", 10, 5, 1, 1, 0, 2),)
)
RESULT = RelayResult(True, "", 0, "none", "qatzip", 1, "isa-l", 8, True, 60 << 20, COUNTERS)


def test_arguments() -> None:
    step = RelayStep("source", "unix:/t/s", "qatzip", 3, 125_000_000)
    assert relay_arguments(step, "tcp:far:1", 4) == [
        *("relay", "unix:/t/s", "tcp:far:1"),
        *("--method", "qatzip", "--channels", "4", "--once", "--events"),
        *("--level", "3", "--max-bandwidth", "125000000"),
    ]
    bare = relay_arguments(RelayStep("destination", "tcp:127.0.0.1:0", "none"), "unix:/t/d", 8)
    assert "--level" not in bare
    moved = replace(step, level=None, auto_level=True)
    assert relay_arguments(moved, "tcp:far:1", 4)[9:11] == ["--level", "auto"]
    assert "--max-bandwidth" not in bare
    assert "--page-size" not in bare
    sparc = relay_arguments(replace(step, page_size=8192), "tcp:far:1", 4)
    assert sparc[-2:] == ["--page-size", "8192"]
    assert "--accelerator" not in sparc
    uuid = "00112233-4455-6677-8899-aabbccddeeff"
    assert relay_arguments(replace(step, uuid=uuid), "tcp:far:1", 4)[-2:] == ["--uuid", uuid]
    line = relay_arguments(replace(step, accelerator="require"), "tcp:far:1", 4)
    assert line[-2:] == ["--accelerator", "require"]
    assert "--member-size" not in line
    line = relay_arguments(replace(step, member_size="packet"), "tcp:far:1", 4)
    assert line[-2:] == ["--member-size", "packet"]
    assert "--insecure" not in line
    line = relay_arguments(replace(step, tls_creds="/c", insecure=True), "relay:far:1", 4)
    assert line[-3:] == ["--tls-creds", "/c", "--insecure"]
    assert "--decide" not in line
    line = relay_arguments(replace(step, decide=0.25), "relay:far:1", 4)
    assert line[-2:] == ["--decide", "0.25"]
    assert "--hold-source" not in line
    line = relay_arguments(replace(step, hold_source=2.5), "relay:far:1", 4)
    assert line[-2:] == ["--hold-source", "2.5"]


@pytest.mark.parametrize(
    ("lines", "undecided"),
    [
        ((RESULT,), ""),
        ((replace(RESULT, completed=False, error="it broke", exit_code=5),), ""),
        ((replace(RESULT, completed=False, error="nobody says", exit_code=9),), "nobody says"),
    ],
)
def test_whether_the_source_s_relay_gave_up(
    monkeypatch: pytest.MonkeyPatch, lines: tuple[RelayResult, ...], undecided: str
) -> None:
    printed = [json.dumps({"event": "finished", **asdict(one)}) for one in lines]
    relays = Relays()
    assert (relays.undecided(), relays.asked_for()) == ("", 0.0)
    relays._children["source"] = told(monkeypatch, *printed)
    wanted = f"the source relay ended: {undecided}" if undecided else ""
    assert relays.undecided() == wanted.replace("source relay", "destination relay")
    assert relays.asked_for() == 0.0


def test_what_is_left_of_a_relay_that_was_killed_may_find_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    relays = Relays()
    relays._children["source"] = told(monkeypatch, "")
    assert (relays.undecided(), relays.asked_for()) == ("", 60.0)


def told(monkeypatch: pytest.MonkeyPatch, *lines: str) -> RelayChild:
    """A child that printed these lines and ended."""
    script = "import os, sys; os.write(1, os.fsencode(sys.argv[1]) + b'\\n')"
    command = [sys.executable, "-c", script, "\n".join(lines)]
    monkeypatch.setattr(Here, "start", lambda *_: start_line(command, b""))
    child = RelayChild(RelayStep("destination", "unix:nowhere", "none"), "unix:nobody", 2)
    child.wait_finished(10)
    child.end()
    return child


def test_records_come_back_from_their_events(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = {"event": "progress", **asdict(COUNTERS)}
    child = told(monkeypatch, json.dumps(progress))
    assert (child.counters, child.result) == (COUNTERS, None)
    finished = {"event": "finished", **asdict(RESULT), "a field to come": 1}
    child = told(monkeypatch, json.dumps(progress | {"packets": 9}), json.dumps(finished))
    assert (child.counters, child.result) == (COUNTERS, RESULT)


def test_a_relay_that_holds_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    relays = Relays()
    assert relays.failing() is None
    relays._children["destination"] = told(monkeypatch, '{"event": "failing", "error": "x"}')
    relays._children["source"] = told(monkeypatch, '{"event": "failing"}')
    assert relays.failing() is None
    event = '{"event": "failing", "migration": "1234abcd", "error": "main: it broke"}'
    relays._children["source"] = told(monkeypatch, event)
    said = Complaint(Rank.RELAY_SAW, "the source relay says: main: it broke")
    assert relays.failing() == said


def test_an_event_with_a_field_of_another_type_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    progress = {"event": "progress", **asdict(COUNTERS)}
    odd = [progress | {"packets": "9"}, progress | {"channels": [{"name": 1}]}, progress]
    del odd[2]["cpu_seconds"]
    for event in odd:
        assert told(monkeypatch, json.dumps(event)).counters is None


def test_a_relay_has_its_time_to_listen_where_we_stood_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_still = stopping(monkeypatch, relay_child)
    child = RelayChild.__new__(RelayChild)
    child.side, child.uri, child._told = "source", "unix:/t/s", Mock()
    child._told.wait = lambda _: stand_still() or next(heard)
    heard = iter([False, True])
    assert child.wait_listening() == "unix:/t/s"
    child._told.wait = lambda _: False
    with pytest.raises(PeerTimeout, match=r"the source relay did not listen within 0\.01 s"):
        child.wait_listening(0.01)


def test_a_line_that_is_no_event_of_ours_keeps_none_from_being_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a library in that process, or a relay of another version: the reader reads on."""
    lines = ["no JSON", "7", "[]", "{}", '{"event": "listening"}', '{"event": "progress"}']
    lines += ['{"event": "finished", "counters": 1}', '{"event": "to come"}']
    lines += ["[" * 100_000, '"a byte \udc80 that is no text"']
    lines.append(json.dumps({"event": "listening", "uri": "tcp:here:1"}))
    assert told(monkeypatch, *lines).wait_listening() == "tcp:here:1"


def test_listens_and_ends(tmp_path: Path) -> None:
    step = RelayStep("destination", "tcp:127.0.0.1:0", "none")
    child = RelayChild(step, f"unix:{tmp_path}/nobody", 2)
    try:
        uri = child.wait_listening()
        assert uri.startswith("tcp:127.0.0.1:")
        assert not uri.endswith(":0")
        assert child.complaint() is None
    finally:
        child.end()
    assert not Path(f"/proc/{child.pid}").exists()
    ended = "the destination relay ended: ended before any migration came"
    assert child.complaint() == Complaint(Rank.RELAY_DIED, ended)
    child.end()  # a second time does nothing


def test_what_a_relay_says_of_the_guest_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both QEMUs are asked where it is."""
    stays = str(cancelled(Mock(phase=Phase.CARRYING), "the control connection broke"))
    result = replace(RESULT, completed=False, error=stays, exit_code=6)
    child = told(monkeypatch, json.dumps({"event": "finished", **asdict(result)}))
    clause = "the destination relay ended: cancelled: the control connection broke"
    assert child.complaint() == Complaint(Rank.RELAY_SAW, clause)


def test_a_relay_that_reached_nobody_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    result = replace(RESULT, completed=False, error="nobody accepts at unix:/d: no", exit_code=3)
    child = told(monkeypatch, json.dumps({"event": "finished", **asdict(result)}))
    complaint = child.complaint()
    assert complaint is not None
    assert complaint.rank is Rank.UNREACHED


def test_a_relay_that_cannot_listen_says_why(tmp_path: Path) -> None:
    child = RelayChild(RelayStep("source", f"unix:{tmp_path}/no/dir", "none"), "unix:/d", 2)
    try:
        with pytest.raises(HostError, match=r"^the source relay: "):
            child.wait_listening()
    finally:
        child.end()


def test_a_refused_option_keeps_its_class(tmp_path: Path) -> None:
    child = RelayChild(RelayStep("source", f"unix:{tmp_path}/s", "qpl", 3), "unix:/d", 2)
    try:
        with pytest.raises(UsageError, match="level"):
            child.wait_listening()
    finally:
        child.end()


def test_a_killed_relay_is_told_of(tmp_path: Path) -> None:
    child = RelayChild(RelayStep("source", f"unix:{tmp_path}/s", "none"), "unix:/d", 2)
    try:
        child.wait_listening()
        child._sentences.append("ramferry relay: a note from before, which is not the cause")
        os.kill(child.pid, 9)
        child.wait_finished(10)
        killed = "the source relay ended: killed by signal 9"
        assert child.complaint() == Complaint(Rank.RELAY_DIED, killed)
    finally:
        child.end()
