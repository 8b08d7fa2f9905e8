"""What a monitor, a monitor's client, a relay that is a child, and a far end of a probe say."""

from __future__ import annotations

import atexit
import io
import json
import os
import shutil
import socket
import tempfile
import threading
from collections import deque
from functools import cache
from typing import Any, Final
from unittest.mock import patch

from fuzz.target import Target, chance_of, pieces
from fuzz.targets.jsons import change_json, change_line
from ramferry.control.link.near import ASKS, Header, parse_header, said_of
from ramferry.control.migrate.relay_child import RelayChild
from ramferry.control.qemu.probe import probe
from ramferry.control.qemu.qmp import Qmp
from ramferry.errors import RamferryError
from ramferry.guest import commands, monitor
from ramferry.guest.settings import GuestSettings
from ramferry.guest.vm import Vm
from ramferry.guest.workload import Workload

# --- a QEMU's monitor

_ID: Final = b"@id"
"""Stands in an input for the id of the command that is answered."""
_SCHEMA: Final = [
    {"name": "migrate-set-parameters", "arg-type": "1"},
    {"name": "1", "members": [{"name": "multifd-compression", "type": "2"}]},
    {"name": "2", "values": ["none", "zlib"]},
    {"name": "migrate-incoming", "arg-type": "3"},
    {"name": "3", "members": [{"name": "exit-on-error", "type": "bool"}]},
]
_VERSION: Final = {"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": "Debian"}
_RETURNS: Final = (
    {},
    _VERSION,
    _SCHEMA,
    [{"capability": "multifd", "state": True}],
    {"multifd-channels": 2, "max-bandwidth": 0},
    {"status": "running", "running": True},
    [{"thread-id": 77, "cpu-index": 0}],
    {"UUID": "00000000-0000-0000-0000-000000000001"},
    {"status": "setup", "socket-address": [{"type": "inet", "host": "::1", "port": "4444"}]},
)


def monitor_samples() -> list[bytes]:
    """A greeting, and the answers to what probing asks; with an event, and with a refusal."""
    greeting = {"QMP": {"version": _VERSION, "capabilities": ["oob"]}}
    answers = [{"return": one, "id": _ID.decode()} for one in _RETURNS]
    event = {
        "event": "STOP",
        "timestamp": {"seconds": 1, "microseconds": 2},
        "data": {"status": "active"},
    }
    refusal = {"error": {"class": "GenericError", "desc": "no"}, "id": _ID.decode()}
    talks = [
        [greeting, *answers],
        [greeting, answers[0], event, *answers[1:]],
        [greeting, *answers[:7], refusal, answers[8]],
    ]
    return [b"".join(json.dumps(one).encode() + b"\n" for one in talk) for talk in talks]


class _Monitor:
    """A QMP server that says an input's lines, one for each that it hears."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="ramferry-fuzz-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self.path = os.path.join(folder, "qmp")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        self._listening.listen(4)
        os.set_blocking(self._listening.fileno(), True)
        self.lines: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            talk, _ = self._listening.accept()
            with talk:
                talk.settimeout(0.03)
                self._talk(talk, list(self.lines))

    def _talk(self, talk: socket.socket, lines: list[bytes]) -> None:
        last = _ID
        for line in lines:
            try:
                talk.sendall(line.replace(_ID, last) + b"\n")
                asked = talk.recv(1 << 16)
                if not asked:
                    return
                last = json.loads(asked.splitlines()[-1]).get("id", "").encode()
            except TimeoutError:
                continue
            except (OSError, ValueError):
                return


@cache
def _monitor() -> _Monitor:
    return _Monitor()


def check_monitor(data: bytes) -> bool:
    """Whatever it answers: facts about a QEMU, or one of our errors."""
    server = _monitor()
    server.lines = data.splitlines()
    try:
        with Qmp.connect(f"qmp:{server.path}", 2.0) as qmp:
            try:
                probe(qmp)
            finally:
                qmp.events()
    except RamferryError:
        return False
    return True


# --- a client of the built-in guest's monitor


class _Client:
    """A connection that has an input to give."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts[::-1]
        self.said = b""

    def receive(self) -> bytes:
        return self._parts.pop() if self._parts else b""

    def send(self, data: bytes) -> None:
        self.said += data


_HARMLESS: Final = ("query-", "migrate-set-", "qom-", "cont", "stop")
"""Beginnings of the commands that an input may run: none connects, listens, ends or writes."""


@cache
def _vm() -> Vm:
    return Vm(GuestSettings(1 << 20, Workload()))


def _harmless(vm: Vm, name: str, arguments: Any) -> Any:
    return commands.execute(vm, name, arguments) if name.startswith(_HARMLESS) else {}


def check_requests(data: bytes) -> bool:
    """Every request is answered by a line, and no client ends its thread."""
    client = _Client([part[:65536] for part in pieces(data, chance_of(data))])
    served = monitor._Client(_vm(), client)  # type: ignore[arg-type]
    try:
        # other tests of this process have a monitor, too
        with patch.object(monitor, "execute", _harmless):
            served.run()
    finally:
        served.end()
    replies = [json.loads(line) for line in client.said.splitlines()]
    return any("return" in reply for reply in replies)


def request_samples() -> list[bytes]:
    """What ``migrate`` asks and sets, and requests that are refused."""
    first = b'{"execute": "qmp_capabilities"}\r\n'
    asks = ("version", "status", "migrate", "migrate-parameters", "cpus-fast", "uuid")
    asked = [{"execute": f"query-{name}", "id": 7} for name in asks]
    multifd = [{"capability": "multifd", "state": True}]
    parameters = {"multifd-channels": 4, "max-bandwidth": 1000000, "multifd-compression": "zstd"}
    told: list[object] = [
        {"execute": "migrate-set-capabilities", "arguments": {"capabilities": multifd}},
        {"execute": "migrate-set-parameters", "arguments": parameters},
        {"execute": "qom-get", "arguments": {"path": "/machine", "property": "type"}},
        {"execute": 1},
        [],
    ]
    return [
        first + b"".join(json.dumps(one).encode() + b"\n" for one in each) for each in (asked, told)
    ]


# --- a relay that is a child, and a far end of a probe


def event_samples() -> list[bytes]:
    """The events of one relay."""
    counters = {
        "seconds": 1.5,
        "bytes_in": 10,
        "bytes_out": 9,
        "packets": 3,
        "normal_pages": 2,
        "zero_pages": 1,
        "normal_bytes": 8192,
        "rounds": 1,
        "cpu_seconds": 0.1,
        "channels": [{"name": "main", "bytes_in": 5}, {"name": "multifd 0", "packets": 3}],
    }
    events = [
        {"event": "listening", "uri": "tcp:127.0.0.1:4444"},
        {"event": "progress", **counters},
        {"event": "note", "text": "a sentence"},
    ]
    return [b"".join(json.dumps(one).encode() + b"\n" for one in events)]


def check_events(data: bytes) -> bool:
    """Whatever a child writes ends no reader."""
    child = object.__new__(RelayChild)
    child.uri, child.counters, child.result = "", None, None
    child._told = threading.Event()
    child._sentences = deque(maxlen=20)
    child._read_events(io.StringIO(data.decode("utf-8", "backslashreplace")))
    assert child._told.is_set()
    return child.counters is not None


def check_probe(data: bytes) -> bool:
    """The datagram that asks, and the answer that counts."""
    header = parse_header(data)
    assert header is None or header.packed() == data
    try:
        said = said_of(data)
    except ValueError:
        return header is not None
    assert 0 < said.rate < 1e15
    assert said.host_shown.isprintable()
    return True


def probe_samples() -> list[bytes]:
    """Both."""
    said = {"rate": 1.25e8, "bytes": 125_000_000, "host": "beta"}
    return [Header(ASKS, 0, 8, bytes(range(16))).packed(), json.dumps(said).encode()]


@cache
def targets() -> list[Target]:
    """All of them."""
    odd = (
        b"[" * 3000,
        b"9" * 5000,
        b"Infinity",
        b"NaN",
        b"1e999",
        b"-1",
        b"null",
        b"\xff",
        b"\\ud800",
        b'"\\u0000"',
    )
    return [
        Target("qmp", check_monitor, monitor_samples, odd, change_line, trials=12, seconds=3.0),
        Target("guest-monitor", check_requests, request_samples, odd, change_line),
        Target("relay-events", check_events, event_samples, odd, change_line),
        Target("probe", check_probe, probe_samples, odd, change_json),
    ]
