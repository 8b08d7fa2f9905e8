"""The built-in guest's monitor: QMP answers as QEMU 10.0.13 does, word for word."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ramferry.control.qemu.qmp import Qmp
from ramferry.errors import MethodUnavailable
from ramferry.guest import monitor
from ramferry.guest.monitor import MAX_REQUEST, Monitor
from ramferry.guest.settings import GuestSettings
from ramferry.guest.vm import Vm
from ramferry.guest.workload import Workload
from ramferry.transport import sockets
from ramferry.transport.address import UnixAddress


@pytest.fixture
def vm() -> Iterator[Vm]:
    vm = Vm(GuestSettings(1 << 20, Workload()))
    yield vm
    vm.close()


@pytest.fixture
def place(vm: Vm, tmp_path: Path) -> Iterator[str]:
    with Monitor(vm, UnixAddress(str(tmp_path / "qmp"))):
        yield str(tmp_path / "qmp")


@pytest.fixture
def qmp(place: str) -> Iterator[Qmp]:
    with Qmp.connect(f"qmp:{place}") as qmp:
        yield qmp


class Raw:
    """A client that sends whatever it is told to."""

    def __init__(self, place: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(place)
        self.lines = self.sock.makefile("r")

    def read(self) -> Any:
        return json.loads(self.lines.readline())

    def say(self, text: str) -> Any:
        self.sock.sendall(text.encode())
        return self.read()

    def close(self) -> None:
        self.lines.close()
        self.sock.close()


@pytest.fixture
def raw(place: str) -> Iterator[Raw]:
    raw = Raw(place)
    assert raw.read()["QMP"]["version"]["qemu"]["major"] == 10
    yield raw
    raw.close()


def test_what_was_asked_is_answered_also_where_the_monitor_closes_meanwhile(
    vm: Vm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``quit`` does: the process ends in another thread, and its answer still goes out."""
    asked, closing = threading.Event(), threading.Event()

    def slow(*_: object) -> dict[str, str]:
        asked.set()
        assert closing.wait(10)
        return {"said": "in the end"}

    monkeypatch.setattr(monitor, "execute", slow)
    server = Monitor(vm, UnixAddress(str(tmp_path / "qmp")))
    raw = Raw(str(tmp_path / "qmp"))
    raw.read()
    raw.say('{"execute":"qmp_capabilities"}\n')
    raw.sock.sendall(b'{"execute":"quit"}\n')
    assert asked.wait(10)
    cut = sockets.cut

    def closes(sock: socket.socket) -> None:
        cut(sock)
        threading.Timer(0.1, closing.set).start()

    monkeypatch.setattr(sockets, "cut", closes)
    server.close()
    assert raw.read() == {"return": {"said": "in the end"}}
    assert raw.lines.readline() == ""
    raw.close()


def refused(desc: str, kind: str = "GenericError") -> dict[str, Any]:
    return {"error": {"class": kind, "desc": desc}}


def test_requests_that_are_none(raw: Raw) -> None:
    first = raw.say('{"execute":"query-status"}\n')
    assert first == refused(
        "Expecting capabilities negotiation with 'qmp_capabilities'", "CommandNotFound"
    )
    assert raw.say('{"execute":"qmp_capabilities"}') == {"return": {}}
    assert raw.say('{"execute":"qmp_capabilities"}') == refused(
        "Capabilities negotiation is already complete, command ignored", "CommandNotFound"
    )
    assert raw.say('{"execute":"nonsense","id":7}') == {"id": 7} | refused(
        "The command nonsense has not been found", "CommandNotFound"
    )
    for text, desc in (
        ('{"foo":1}', "QMP input member 'foo' is unexpected"),
        ("[1]", "QMP input must be a JSON object"),
        ('{"execute":5}', "QMP input member 'execute' must be a string"),
        ('{"execute":"query-status","bad":1}', "QMP input member 'bad' is unexpected"),
        ('{"execute":"query-status","arguments":{"x":1}}', "Parameter 'x' is unexpected"),
    ):
        assert raw.say(text) == refused(desc)
    assert raw.say("{nonsense\n")["error"]["desc"].startswith("JSON parse error, ")
    raw.sock.sendall(b'{"execute":\n')
    assert raw.say('"query-name"}') == {"return": {"name": "ramferry"}}
    raw.sock.sendall(b'{"execute":"query-name"}{"execute":"query-name"}')
    assert raw.read() == raw.read() == {"return": {"name": "ramferry"}}


@pytest.mark.parametrize(
    ("text", "what"), [("[" * 3000, "nesting depth"), ('{"id":' + "9" * 5000, "token size")]
)
def test_what_python_does_not_read_as_json_is_refused_and_the_next_is_answered(
    raw: Raw, text: str, what: str
) -> None:
    assert raw.say(text) == refused(f"JSON {what} limit exceeded")
    assert raw.say(text + '\n{"execute":"qmp_capabilities"}') == refused(
        f"JSON {what} limit exceeded"
    )
    assert raw.read() == {"return": {}}


def test_a_request_without_end_is_cut_off(raw: Raw) -> None:
    answer = raw.say('{"execute":"' + "x" * (MAX_REQUEST + 1))
    assert answer == refused(f"a request of more than {MAX_REQUEST} bytes")
    assert raw.lines.readline() == ""


@pytest.mark.parametrize(
    ("command", "arguments", "desc"),
    [
        (
            "migrate-set-parameters",
            {"multifd-channels": 0},
            "Parameter 'multifd_channels' expects a value between 1 and 255",
        ),
        (
            "migrate-set-parameters",
            {"multifd-channels": "3"},
            "Parameter 'multifd-channels' expects uint64",
        ),
        (
            "migrate-set-parameters",
            {"multifd-zlib-level": 10},
            "Parameter 'multifd_zlib_level' expects a value between 0 and 9",
        ),
        (
            "migrate-set-parameters",
            {"multifd-zstd-level": 21},
            "Parameter 'multifd_zstd_level' expects a value between 0 and 20",
        ),
        (
            "migrate-set-parameters",
            {"multifd-qatzip-level": 0},
            "Parameter 'multifd_qatzip_level' expects a value between 1 and 9",
        ),
        (
            "migrate-set-parameters",
            {"multifd-compression": "lzo"},
            "Parameter 'multifd-compression' does not accept value 'lzo'",
        ),
        (
            "migrate-set-parameters",
            {"multifd-compression": 5},
            "Invalid parameter type for 'multifd-compression', expected: string",
        ),
        (
            "migrate-set-parameters",
            {"downtime-limit": 3000000},
            "Parameter 'downtime_limit' expects an integer in the range of 0 to (2000 * 1000) ms",
        ),
        (
            "migrate-set-parameters",
            {"downtime-limit": 1.5},
            "Parameter 'downtime-limit' expects uint64",
        ),
        ("migrate-set-parameters", {"foo": 1}, "Parameter 'foo' is unexpected"),
        ("migrate-set-capabilities", {}, "Parameter 'capabilities' is missing"),
        (
            "migrate-set-capabilities",
            {"capabilities": [{"capability": "foo", "state": True}]},
            "Parameter 'capability' does not accept value 'foo'",
        ),
        (
            "migrate-set-capabilities",
            {"capabilities": [{"capability": "multifd", "state": 1}]},
            "Invalid parameter type for 'capabilities[0].state', expected: boolean",
        ),
        (
            "migrate-set-capabilities",
            {"capabilities": 5},
            "Invalid parameter type for 'capabilities', expected: array",
        ),
        ("migrate", {}, "need either 'uri' or 'channels' argument"),
        ("migrate", {"uri": "foo:bar"}, "unknown migration protocol: foo:bar"),
        ("migrate", {"uri": "tls:"}, "error parsing address ''"),
        (
            "migrate",
            {"uri": "tls:alpha:1"},
            "tls:alpha:1 needs --tls-creds DIR, a folder with certificates as QEMU's tls-creds-x509"
            " has them",
        ),
        (
            "migrate",
            {"uri": "relay:alpha:1"},
            "relay:alpha:1 needs --tls-creds DIR, a folder with certificates as QEMU's"
            " tls-creds-x509 has them or, in clear, --insecure",
        ),
        (
            "migrate-continue",
            {"state": "pre-switchover"},
            "Migration not in expected state: none",
        ),
        ("migrate-continue", {"state": "foo"}, "Parameter 'state' does not accept value 'foo'"),
        (
            "migrate-incoming",
            {"uri": "tcp:127.0.0.1:0"},
            "'-incoming' was not specified on the command line",
        ),
        ("human-monitor-command", {}, "Parameter 'command-line' is missing"),
    ],
)
def test_refusals(qmp: Qmp, command: str, arguments: dict[str, object], desc: str) -> None:
    before = qmp.execute("query-migrate-parameters")
    with pytest.raises(MethodUnavailable) as refusal:
        qmp.execute(command, arguments)
    assert str(refusal.value).endswith(f"refuses {command}: {desc}")
    assert qmp.execute("query-migrate-parameters") == before


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("", ""),
        ("foo", "unknown command: 'foo'\r\n"),
        ("info foo", "unknown command: 'info foo'\r\n"),
        ("migrate_set_parameter foo 1", "Error: invalid parameter value: foo\r\n"),
        (
            "migrate_set_parameter multifd-compression lzo",
            "Error: Parameter 'multifd-compression' does not accept value 'lzo'\r\n",
        ),
        (
            "migrate_set_parameter multifd-zstd-level 30",
            "Error: Parameter 'multifd_zstd_level' expects a value between 0 and 20\r\n",
        ),
        (
            "migrate_set_parameter downtime-limit x",
            "Error: Parameter 'downtime-limit' expects a decimal number, not 'x'\r\n",
        ),
        (
            "migrate_set_parameter multifd-channels 1k",
            "Error: Parameter 'multifd-channels' expects a decimal number, not '1k'\r\n",
        ),
        (
            "migrate_set_parameter multifd-channels 010",
            "Error: Parameter 'multifd-channels' expects a decimal number, not '010'\r\n",
        ),
        (
            "migrate_set_parameter max-bandwidth 99999999T",
            "Error: Parameter 'max-bandwidth' expects uint64\r\n",
        ),
        (
            "migrate_set_parameter multifd-channels",
            "usage: migrate_set_parameter PARAMETER VALUE\r\n",
        ),
        ("migrate", "usage: migrate [-d] URI\r\n"),
        ("migrate -x foo:1", "usage: migrate [-d] URI\r\n"),
        ("info status x", "usage: info status\r\n"),
        ("migrate foo:1", "Error: unknown migration protocol: foo:1\r\n"),
        ("migrate_set_capability multifd on", ""),
        ("migrate_set_capability foo on", "Error: invalid parameter value: foo\r\n"),
        (
            "migrate_set_capability multifd perhaps",
            "Error: a capability is on or off, not perhaps\r\n",
        ),
        (
            "migrate_incoming tcp:127.0.0.1:0",
            "Error: '-incoming' was not specified on the command line\r\n",
        ),
        ("info migrate", ""),
        ("info status", "VM status: paused (prelaunch)\r\n"),
        ("migrate_cancel", ""),
    ],
)
def test_the_human_monitor(qmp: Qmp, line: str, answer: str) -> None:
    assert qmp.execute("human-monitor-command", {"command-line": line}) == answer


def test_qmp_shell_completes_every_command(qmp: Qmp) -> None:
    """As ``qmp-shell -H`` reads the lists: a name first, for ``info`` a name behind it."""

    def say(line: str) -> list[str]:
        printed = qmp.execute("human-monitor-command", {"command-line": line})
        return str(printed).split("\r\n")[:-1]

    names = [line.split()[0] for line in say("help")]
    assert {"migrate", "migrate_set_parameter", "help", "cont"} <= {*names}
    subjects = [line.split()[1] for line in say("info")]
    assert {"migrate", "mtree", "status"} <= {*subjects}
    for line in ["help", *(f"info {subject}" for subject in subjects)]:
        assert not "".join(say(line)).startswith(("unknown", "usage", "Error"))


def test_the_steps_of_qemus_qatzip_page(qmp: Qmp) -> None:
    def say(line: str) -> str:
        return str(qmp.execute("human-monitor-command", {"command-line": line}))

    assert say("migrate_set_parameter multifd-compression qatzip") == ""
    for level in range(1, 10):
        assert say(f"migrate_set_parameter multifd-qatzip-level {level}") == ""
        assert f"multifd-qatzip-level: {level}\r\n" in say("info migrate_parameters")
    assert "multifd-compression: qatzip\r\n" in say("info migrate_parameters")
    for text, value in (("10", 10 << 20), ("0", 0), ("64k", 65536), ("2G", 2 << 30)):
        assert say(f"migrate_set_parameter max-bandwidth {text}") == ""
        assert f"max-bandwidth: {value} bytes/second\r\n" in say("info migrate_parameters")
    assert say("migrate_set_parameter downtime-limit 500") == ""
    assert "downtime-limit: 500 ms\r\n" in say("info migrate_parameters")
    assert say("info migrate_capabilities").split("\r\n")[1] == "return-path: on"
    assert qmp.execute("query-migrate-parameters")["multifd-compression"] == "qatzip"


def test_defaults_are_qemus(qmp: Qmp) -> None:
    assert qmp.execute("query-migrate-parameters") == {
        "max-bandwidth": 134217728,
        "downtime-limit": 300,
        "multifd-channels": 2,
        "multifd-compression": "none",
        "multifd-zlib-level": 1,
        "multifd-zstd-level": 1,
        "multifd-qatzip-level": 1,
    }
    assert qmp.execute("query-migrate") == {}
    off = {"capability": "multifd", "state": False}
    with pytest.raises(MethodUnavailable, match="over multifd with a return path only"):
        qmp.execute("migrate-set-capabilities", {"capabilities": [off]})


def test_stop_cont_and_their_events(qmp: Qmp, vm: Vm, raw: Raw) -> None:
    assert raw.say('{"execute":"qmp_capabilities"}') == {"return": {}}
    assert qmp.execute("query-status") == {"status": "prelaunch", "running": False}
    qmp.execute("cont")
    assert raw.read()["event"] == "RESUME"
    assert qmp.execute("query-status") == {"status": "running", "running": True}
    qmp.execute("stop")
    qmp.execute("stop")
    assert raw.read()["event"] == "STOP"
    assert qmp.execute("query-status") == {"status": "paused", "running": False}
    qmp.execute("quit")
    assert raw.read()["event"] == "SHUTDOWN"
    assert vm.ended.is_set()


def test_an_event_does_not_overtake_the_reply_to_the_negotiation(
    vm: Vm, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """qemu.qmp takes a server that tells an event first for one that is no QEMU."""
    negotiate = monitor._Client._negotiate

    def with_an_event(client: monitor._Client) -> dict[str, Any]:
        answer = negotiate(client)
        vm.events.tell("STOP")
        return answer

    monkeypatch.setattr(monitor._Client, "_negotiate", with_an_event)
    assert raw.say('{"execute":"qmp_capabilities"}') == {"return": {}}
    vm.events.tell("RESUME")
    assert raw.read()["event"] == "RESUME"


def test_a_guest_that_may_run_elsewhere_stands_still_until_a_person_lets_it_go_on(
    vm: Vm, qmp: Qmp
) -> None:
    qmp.execute("cont")
    vm.pause()
    assert qmp.execute("query-status")["status"] == "finish-migrate"
    vm.stand_still()
    assert qmp.execute("query-status") == {"status": "paused", "running": False}
    assert not vm.vcpu.running
    qmp.execute("cont")
    assert qmp.execute("query-status")["running"]
    assert vm.vcpu.running
