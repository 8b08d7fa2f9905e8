"""A libvirt daemon by ``libvirt.so.0``."""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import POINTER, byref, c_int, c_void_p
from functools import cache
from typing import Any, Final, Self

from ramferry.control.libvirt import prototypes
from ramferry.control.libvirt.contract import STATES, Move, Stats
from ramferry.errors import MethodUnavailable, PeerUnreachable, RamferryError, UsageError

ANSWER_SECONDS: Final = 3.0
"""How long a question may take that a daemon answers within milliseconds."""
KEEPALIVE_SECONDS: Final = 5
KEEPALIVE_COUNT: Final = 5
"""virsh's own: after so many unanswered questions, one every ``KEEPALIVE_SECONDS``, the daemon
counts as lost."""


def _pass_over(_user: object, _error: object) -> None:
    """Takes libvirt's errors, which it would else print on standard error."""


_SILENT: Final = prototypes.ErrorFunction(_pass_over)


@cache
def loaded() -> ctypes.CDLL:
    """The library, ready to open connections.

    :raise HostError: this host has none.
    """
    library = prototypes.load()
    library.virInitialize()
    library.virSetErrorFunc(None, _SILENT)
    if library.virEventRegisterDefaultImpl() == 0:
        # answers to keepalive questions are read by whoever runs the loop
        threading.Thread(target=_run, args=(library,), name="libvirt events", daemon=True).start()
    return library


def _run(library: ctypes.CDLL) -> None:
    while library.virEventRunDefaultImpl() == 0:
        pass


class Library:
    """One connection; see ``Connection``."""

    means = prototypes.NAME
    answers_within = ANSWER_SECONDS

    def __init__(self, uri: str) -> None:
        """Connect.

        :raise HostError: there is no library.
        :raise PeerUnreachable: there is no way to that daemon; the sentence is libvirt's.
        """
        self.uri = uri
        self._library = library = loaded()
        self._lock = threading.Lock()
        connection = library.virConnectOpen(uri.encode())
        if not connection:
            raise PeerUnreachable(f"no libvirt answers at {uri}: {self._words()}")
        self._connection: int | None = int(connection)
        # a daemon that knows no keepalive does without
        library.virConnectSetKeepAlive(self._connection, KEEPALIVE_SECONDS, KEEPALIVE_COUNT)

    @property
    def alive(self) -> bool:
        """See ``Connection``."""
        with suppress(PeerUnreachable), self._used() as connection:
            return bool(self._library.virConnectIsAlive(connection) == 1)
        return False

    def names(self) -> list[str]:
        """See ``Connection``."""
        found = POINTER(c_void_p)()
        with self._used() as connection:
            count = self._library.virConnectListAllDomains(connection, byref(found), 0)
            self._check(count >= 0)
        names = []
        for domain in found[:count]:
            names.append(self._library.virDomainGetName(domain).decode(errors="replace"))
            self._library.virDomainFree(domain)
        prototypes.free(found)
        return names

    def state(self, name: str) -> str:
        """See ``Connection``."""
        state, reason = c_int(), c_int()
        with self._domain(name) as domain:
            done = self._library.virDomainGetState(domain, byref(state), byref(reason), 0)
            self._check(done == 0)
        return STATES[state.value] if 0 <= state.value < len(STATES) else STATES[0]

    def xml(self, name: str) -> str:
        """See ``Connection``."""
        with self._domain(name) as domain:
            text = self._library.virDomainGetXMLDesc(domain, 0)
            self._check(bool(text))
            return prototypes.text_of(text)

    def migrate(self, name: str, destination: Self, move: Move) -> None:
        """See ``Connection``."""
        library, flags = self._library, _flags(move)
        with self._domain(name) as domain, prototypes.ParameterList(library) as given:
            given.add("migrate_uri", move.migrate_uri)
            given.add("parallel.connections", move.channels)
            if move.disks_uri:
                given.add("disks_uri", move.disks_uri)
            count = given.count
            if move.peer_to_peer:
                to = destination.uri.encode()
                done = library.virDomainMigrateToURI3(domain, to, given.items, count, flags)
                self._check(done == 0)
                return
            with destination._used() as there:
                moved = library.virDomainMigrate3(domain, there, given.items, count, flags)
                self._check(bool(moved))
                library.virDomainFree(moved)

    def job(self, name: str) -> Stats:
        """See ``Connection``."""
        return self._stats(name, 0)

    def last_job(self, name: str) -> Stats:
        """See ``Connection``."""
        return self._stats(name, prototypes.COMPLETED)

    def _stats(self, name: str, flags: int) -> Stats:
        kind, count = c_int(), c_int()
        found = prototypes.Parameters()
        with self._domain(name) as domain:
            done = self._library.virDomainGetJobStats(
                domain, byref(kind), byref(found), byref(count), flags
            )
            self._check(done == 0)
        try:
            return prototypes.numbers(found, count.value)
        finally:
            self._library.virTypedParamsFree(found, count)

    def abort(self, name: str) -> None:
        """See ``Connection``."""
        with self._domain(name) as domain:
            self._check(self._library.virDomainAbortJob(domain) == 0)

    def set_max_downtime(self, name: str, milliseconds: int) -> None:
        """See ``Connection``."""
        with self._domain(name) as domain:
            done = self._library.virDomainMigrateSetMaxDowntime(domain, milliseconds, 0)
            self._check(done == 0)

    def suspend(self, name: str) -> None:
        """See ``Connection``."""
        with self._domain(name) as domain:
            self._check(self._library.virDomainSuspend(domain) == 0)

    def measure_dirty_rate(self, name: str, seconds: int) -> None:
        """See ``Connection``."""
        begin = getattr(self._library, "virDomainStartDirtyRateCalc", None)
        if begin is None:
            raise MethodUnavailable(f"the {self.means} of this host measures no dirty rate")
        with self._domain(name) as domain:
            self._check(begin(domain, seconds, 0) == 0)

    def dirty_rate(self, name: str) -> int | None:
        """See ``Connection``."""
        records = POINTER(POINTER(prototypes.StatsRecord))()
        with self._domain(name) as domain:
            count = self._library.virDomainListGetStats(
                (c_void_p * 2)(domain, None), prototypes.DIRTY_RATE, byref(records), 0
            )
            self._check(count >= 0)
        try:
            record = records[0].contents if count else None
            found = prototypes.numbers(record.params, record.nparams) if record else {}
        finally:
            self._library.virDomainStatsRecordListFree(records)
        return found.get("dirtyrate.megabytes_per_second")

    def monitor(self, name: str, command: str) -> Any:
        """See ``Connection``."""
        run, answer = prototypes.load_monitor(), c_void_p()
        with self._domain(name) as domain:
            line = json.dumps({"execute": command}).encode()
            self._check(run(domain, line, byref(answer), 0) == 0)
        return json.loads(prototypes.text_of(answer.value)).get("return")

    def close(self) -> None:
        """See ``Connection``. A call that is under way in another thread, whose answer nobody waits
        for any more, keeps libvirt's own until it returns."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            self._library.virConnectClose(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def _used(self) -> Iterator[int]:
        """libvirt's connection, which lives as long as the block: most of its calls hold none."""
        with self._lock:  # so that nobody closes it between the look and the reference
            connection = self._connection
            if connection is None:
                raise PeerUnreachable(f"the connection to the libvirt at {self.uri} is closed")
            self._library.virConnectRef(connection)
        try:
            yield connection
        finally:
            self._library.virConnectClose(connection)

    @contextmanager
    def _domain(self, name: str) -> Iterator[int]:
        with self._used() as connection:
            domain = self._library.virDomainLookupByName(connection, name.encode())
            self._check(bool(domain))
            try:
                yield int(domain)
            finally:
                self._library.virDomainFree(domain)

    def _check(self, done: bool) -> None:
        """Raise what libvirt says, in the thread that called it, unless the call was done."""
        if not done:
            raise self._error()

    def _error(self) -> RamferryError:
        code, words = self._library.virGetLastErrorCode(), self._words()
        if code == prototypes.NO_DOMAIN:
            return UsageError(words)
        if not self.alive:
            return PeerUnreachable(f"the libvirt at {self.uri} was lost: {words}")
        return MethodUnavailable(words)

    def _words(self) -> str:
        said = self._library.virGetLastErrorMessage() or b"it does not say why"
        return str(said.decode(errors="replace")).strip().rstrip(".")


def _flags(move: Move) -> int:
    asked = {
        prototypes.PEER_TO_PEER: move.peer_to_peer,
        prototypes.PERSIST_DEST: move.persistent,
        prototypes.UNDEFINE_SOURCE: move.undefine_source,
        prototypes.UNSAFE: move.unsafe,
        prototypes.AUTO_CONVERGE: move.auto_converge,
        prototypes.NON_SHARED_DISK: move.copy_storage == "all",
        prototypes.NON_SHARED_INC: move.copy_storage == "inc",
    }
    return prototypes.LIVE | prototypes.PARALLEL | sum(flag for flag, on in asked.items() if on)
