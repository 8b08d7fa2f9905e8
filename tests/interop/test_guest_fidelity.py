"""The built-in guest beside a real QEMU 10.0, answer by answer and event by event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from migrating import CANCELLED, wait_left
from qemu_faults import QemuFault, once_more_if_qemu_fails

from ramferry.bench.builtin import BuiltIn
from ramferry.bench.qemu import Qemu, qemu_at
from ramferry.errors import MethodUnavailable

pytestmark = pytest.mark.interop

MEMORY = 32 << 20
DEADLINE = 30.0
Guest = Qemu | BuiltIn
Start = Callable[[bool], Guest]
"""Starts a guest; told whether it is to wait for one."""
ON = ("events", "multifd", "return-path")


def ask(guest: Guest, command: str, arguments: dict[str, Any] | None = None) -> Any:
    """What it returns, or how it refuses."""
    try:
        return guest.qmp.execute(command, arguments)
    except MethodUnavailable as error:
        return f"{command}: {str(error).partition(f' refuses {command}: ')[2]}"


def say(guest: Guest, line: str) -> Any:
    return ask(guest, "human-monitor-command", {"command-line": line})


def capabilities(*names: str, **more: Any) -> dict[str, Any]:
    return {"capabilities": [{"capability": name, "state": True} | more for name in names]}


@pytest.fixture
def kinds(require_peer: Callable[[str], Path]) -> Iterator[tuple[Start, Start]]:
    """Starts a QEMU, and starts a built-in guest; what was started ends with the test."""
    binary = qemu_at(require_peer("qemu-system-x86_64-10.0"))
    with ExitStack() as stack:

        def qemu(incoming: bool) -> Guest:
            return stack.enter_context(Qemu(binary, MEMORY, incoming=incoming, accel="tcg"))

        def built_in(incoming: bool) -> Guest:
            options = ["--incoming", "defer"] if incoming else ["--paused"]
            return stack.enter_context(BuiltIn(MEMORY, options))

        yield qemu, built_in


NUMBERS = {
    "max-bandwidth": ["0", "7", "1k", "2G"],
    "downtime-limit": ["0", "7", "1k", "2000001"],
    "multifd-channels": ["0", "7", "256"],
    "multifd-zlib-level": ["0", "7", "256"],
}
LINES = [
    *(
        f"migrate_set_parameter {name} {value}"
        for name, values in NUMBERS.items()
        for value in values
    ),
    "",
    "nonsense",
    "info nonsense",
    "info status",
    "stop",
    "migrate -d foo:1",
    "migrate tcp:",
    "migrate unix:",
    "migrate_cancel",
    "migrate_incoming tcp:127.0.0.1:0",
    "migrate_set_parameter nonsense 1",
    "migrate_set_parameter multifd-compression lzo",
    "migrate_set_capability multifd on",
    "migrate_set_capability nonsense on",
]
"""What people say at QEMU's monitor; numbers as the built-in guest reads them, decimal ones."""


def test_the_human_monitor(kinds: tuple[Start, Start]) -> None:
    said = []
    for start in kinds:
        guest = start(False)
        answers = {}
        for line in LINES:
            answers[line] = say(guest, line)
            if line.startswith("migrate_set_parameter m") and not answers[line]:
                name = line.split()[1]
                answers[line] = ask(guest, "query-migrate-parameters")[name]
        said.append(answers)
    assert said[0] == said[1]


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("migrate-set-parameters", {name: value})
        for name in ("max-bandwidth", "downtime-limit", "multifd-channels", "multifd-zstd-level")
        for value in (-1, 2**64, 1.5, "1", True, 300, 2000001, 21)
    ),
    ("query-uuid", {}),
    ("query-memory-size-summary", {}),
    ("qom-get", {"path": "/machine"}),
    ("qom-get", {"path": "/nowhere", "property": "type"}),
    ("migrate-set-parameters", {"multifd-channels": 3, "nonsense": 1}),
    ("migrate-set-parameters", {"multifd-compression": 5}),
    ("migrate-set-parameters", {"multifd-compression": "lzo"}),
    ("migrate-set-capabilities", {}),
    ("migrate-set-capabilities", {"capabilities": [5]}),
    ("migrate-set-capabilities", {"capabilities": [{"state": True}]}),
    ("migrate-set-capabilities", capabilities("events", extra=1)),
    ("migrate-set-capabilities", capabilities("events", state="on")),
    ("migrate-set-capabilities", capabilities("events", "nonsense")),
    ("migrate-set-capabilities", capabilities(*ON)),
    ("migrate", {}),
    ("migrate", {"uri": 5}),
    *(
        ("migrate", {"uri": uri})
        for uri in ("", "tcp", "tcp:", "tcp:a", "tcp:a:", "unix:", "exec:true", "fd:1", "TCP:a:1")
    ),
    ("migrate", {"uri": "tcp:127.0.0.1:1", "resume": True}),
    ("migrate-incoming", {}),
    ("migrate-incoming", {"uri": "nonsense"}),
    ("migrate-continue", {}),
    ("migrate-continue", {"state": "active"}),
    ("migrate-continue", {"state": "nonsense"}),
    ("migrate_cancel", {"x": 1}),
    ("migrate_cancel", {}),
    ("query-migrate", {}),
    ("human-monitor-command", {"command-line": "info status", "cpu-index": 7}),
    ("human-monitor-command", {"command-line": "info status", "cpu-index": "x"}),
    ("pmemsave", {"val": "0", "size": 1, "filename": "x"}),
    ("pmemsave", {"val": 0, "size": 1, "filename": "/nowhere/x"}),
    ("calc-dirty-rate", {"calc-time": 0}),
    ("calc-dirty-rate", {"calc-time": 1, "sample-pages": 1}),
    ("calc-dirty-rate", {"calc-time": 1, "mode": "nonsense"}),
    ("calc-dirty-rate", {"calc-time": 1, "mode": "dirty-ring"}),
    ("query-dirty-rate", {}),
    ("query-status", {}),
    ("cont", {}),
    ("query-status", {}),
    ("stop", {"x": 1}),
    ("stop", {}),
    ("nonsense", {}),
]


def test_requests(kinds: tuple[Start, Start]) -> None:
    said = []
    for start in kinds:
        guest = start(False)
        said.append([(one, ask(guest, *one)) for one in REQUESTS])
    assert said[0] == said[1]


def without_count(events: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Events with the first pass and the last one, which begins once the guest stands still.

    How many lie between is a matter of time: a QEMU of whose pages nothing is left looks once more
    whether any were written if the first pass took 100 ms (``BUFFER_DELAY`` of its migration.c),
    and not if it was sooner done.
    """
    kept, stands = [], False
    for name, data in events:
        stands = stands or name == "STOP"
        if name != "MIGRATION_PASS" or data["pass"] == 1:
            kept.append((name, data))
        elif stands:
            kept.append((name, {"pass": "last"}))
    return kept


class Course:
    """A guest's migrations, as its monitor and its destination's show them."""

    def __init__(self, start: Start) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._start = start
        self._here = start(False)
        ask(self._here, "migrate-set-capabilities", capabilities(*ON))
        ask(self._here, "cont")

    def run(self) -> None:
        self._cancelled()
        self._stopped_and_let_go()
        self._left()

    def _note(self, what: str, guest: Guest, *commands: Any) -> None:
        for command in commands:
            one = command if isinstance(command, tuple) else (command,)
            self.seen.append((f"{what}: {one[0]}", ask(guest, *one)))

    def _events(self, what: str, guest: Guest, last: str) -> None:
        """Those up to a status, or an event's name."""
        found: list[tuple[str, Any]] = []
        deadline = time.monotonic() + DEADLINE
        while not found or last not in (found[-1][0], found[-1][1].get("status")):
            found += [(event.name, event.data) for event in guest.qmp.events(0.1)]
            assert time.monotonic() < deadline, (what, found)
        self.seen.append((f"{what}: events", without_count(found)))

    def _status(self, what: str, guest: Guest, wanted: str) -> None:
        """Wait for a migration's status; its members.

        :raise QemuFault: a QEMU says of a migration that was cancelled that it failed.
        """
        deadline = time.monotonic() + DEADLINE
        while (info := ask(guest, "query-migrate")).get("status") != wanted:
            # which of migrating.CANCELLED it is, is chance in a QEMU, and never in a built-in guest
            if isinstance(guest, Qemu) and {wanted, info.get("status")} == CANCELLED:
                raise QemuFault(f"{what}: {info}")
            assert time.monotonic() < deadline, (what, info)
            time.sleep(0.01)
        ram = sorted(set(info.get("ram", ())) - {"downtime-bytes"})
        self.seen.append((f"{what}: {wanted}", (sorted(set(info) - {"error-desc"}), ram)))

    def _awaited(self) -> tuple[Guest, str]:
        there = self._start(True)
        ask(there, "migrate-set-capabilities", capabilities(*ON))
        uri = f"unix:{there.folder}/in"
        self._note("awaiting", there, "query-status", "stop", "cont", "query-migrate")
        self._note("awaiting", there, ("migrate", {"uri": uri}), "migrate_cancel")
        for wrong in ({}, {"uri": "nonsense"}, {"uri": "tcp:a"}):
            self._note("awaiting", there, ("migrate-incoming", wrong))
        self._note("awaiting", there, ("migrate-incoming", {"uri": uri}))
        assert self.seen[-1][1] == {}
        self.seen.append(("again", ask(there, "migrate-incoming", {"uri": uri})))
        self._note("awaiting", there, ("migrate-set-capabilities", capabilities(*ON)))
        self._events("awaiting", there, "setup")
        return there, uri

    def _migrate(self, uri: str, **parameters: int) -> None:
        ask(self._here, "migrate-set-parameters", parameters)
        self._here.qmp.events()
        self.seen.append(("migrate", ask(self._here, "migrate", {"uri": uri})))

    def _cancelled(self) -> None:
        there, uri = self._awaited()
        here = self._here
        self._migrate(uri, **{"max-bandwidth": 10_000})
        self._status("under way", here, "active")
        self._events("under way", there, "active")
        busy = ("migrate", {"uri": "tcp:127.0.0.1:1"})
        late = ("migrate-continue", {"state": "pre-switchover"})
        capability = ("migrate-set-capabilities", capabilities("events"))
        channels = ("migrate-set-parameters", {"multifd-channels": 3})
        back = ("migrate-set-parameters", {"multifd-channels": 2})
        self._note("under way", here, busy, late, capability, channels, back, "stop", "cont")
        self._note("under way", there, "stop", "query-status", "cont", "migrate_cancel")
        self._note("under way", here, "migrate_cancel")
        self._status("cancelled", here, "cancelled")
        self._note("cancelled", here, "query-status", "migrate_cancel")
        self._events("cancelled", here, "cancelled")
        self._events("cancelled", there, "failed")

    def _stopped_and_let_go(self) -> None:
        _, uri = self._awaited()
        here = self._here
        ask(here, "migrate-set-capabilities", capabilities("pause-before-switchover"))
        self._migrate(uri, **{"max-bandwidth": 0})
        self._status("paused", here, "pre-switchover")
        wrong = ("migrate-continue", {"state": "device"})
        self._note("paused", here, "query-status", "cont", "stop", "query-status", wrong)
        self._note("paused", here, "migrate_cancel")
        self._status("paused", here, "cancelled")
        self._events("paused", here, "cancelled")
        self._note("paused", here, "query-status")

    def _left(self) -> None:
        there, uri = self._awaited()
        here = self._here
        self._migrate(uri)
        self._status("leaving", here, "pre-switchover")
        self._note("leaving", here, ("migrate-continue", {"state": "pre-switchover"}))
        self._status("left", here, "completed")
        self._events("left", here, "completed")
        self._events("left", there, "completed")
        wait_left(here, DEADLINE)  # type: ignore[arg-type]
        again = ("migrate", {"uri": "tcp:127.0.0.1:1"})
        self._note("left", here, "query-status", "migrate_cancel", "stop", again, "query-status")
        self._note("left", there, "query-migrate", ("migrate-incoming", {"uri": uri}))
        self._note("left", here, "cont", "query-status", "quit")
        self._events("left", here, "SHUTDOWN")


@once_more_if_qemu_fails
def test_migrations(kinds: tuple[Start, Start]) -> None:
    """Refusals, run states, members of query-migrate and the order of events, in every phase."""
    qemu, built_in = (Course(start) for start in kinds)
    qemu.run()
    built_in.run()
    assert len(qemu.seen) > 80
    for expected, found in zip(qemu.seen, built_in.seen, strict=True):
        assert found == expected
