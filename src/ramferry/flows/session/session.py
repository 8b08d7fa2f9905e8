"""What one migration's threads share: phases, marks, counters, and the one way it fails.

The phases say what may still be undone. Until ram's END has gone on, any fault ends every
connection, so that the source fails the migration and its guest runs on. After that only the
destination knows whether its guest has started: what was received is delivered, the destination's
answer is carried back, and nothing else is done.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

from ramferry.codec.base import Decoder, Encoder
from ramferry.errors import HostError, MigrationFailed, RamferryError, RemoteProtocolError
from ramferry.flows.session.causes import Causes
from ramferry.flows.session.engines import Engines
from ramferry.flows.session.gate import SyncGate, Unwind
from ramferry.flows.session.phase import Phase
from ramferry.flows.session.plain import Plain
from ramferry.flows.session.roles import Behind, FlowSettings
from ramferry.flows.session.tally import Tally
from ramferry.metrics.agreement import Agreement
from ramferry.metrics.notes import warning
from ramferry.patience import Patience
from ramferry.transport.connection import Connection

__all__ = ["Phase", "Session"]

Failure = RamferryError | Callable[[], RamferryError]

_JOIN_STEP: Final = 0.25
"""Seconds between two looks at a thread that should end."""
_PATIENCE: Final = 5.0
"""Seconds that threads may take to end."""
_HELD: Final = 0.5
"""The same where the source is held."""


class Session:
    """Shared state of one migration's threads."""

    behind: Behind
    """Set by the session's maker, before anything comes in."""
    error: RamferryError | None = None
    """Why it has failed; None if it has not."""
    method_in = ""
    """The source's method, once a channel has seen it; several are separated by commas."""
    uuid = bytes(16)
    """The UUID in the channels' initial packets; set when they are gathered."""
    source = ""
    """Who connected: a host's address, or a process of this host."""
    agreed_in: Agreement | None = None
    """What was agreed with the side that this migration comes from; None if it is a QEMU."""
    agreed_out: Agreement | None = None
    """The same with the side that it goes to."""
    blind_since: float | None = None
    """Since when main's marks cannot be seen; None while they can."""
    missed = False
    """True if a connection that may have been a channel was closed before it said what it is."""
    switched = False
    """True once ram's END was sent on, even if the migration has failed since."""
    taken: bool | None = None
    """Whether the destination has the guest, or cannot get it any more; None: nobody knows."""
    ending = False
    """True once ram's END has come."""
    whole = False
    """True once all of the stream was sent on, up to its end; only where that is held back."""
    holds = False
    """Whether connections to the source stay open, behind ram's END, until ``taken`` is known."""
    ends_here = False
    """Whether a sink takes the guest over: if that fails, nobody has it."""
    _phase = Phase.GATHERING

    def __init__(
        self,
        settings: FlowSettings,
        note: Callable[[str], None],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """:param wake: called, from any thread, when the migration has failed."""
        self.settings = settings
        self.plain, self.causes = Plain(), Causes()
        self.note = note
        self._wake = wake
        self.gate = SyncGate()
        self.tally = Tally(settings.page_size, secrets.token_hex(4))
        self.blocks: dict[str, int] = {}
        """Used length in bytes of each RAM block, filled in when main brings the list."""
        self.gathered = threading.Event()
        """Set once every channel that the source opened is here."""
        self.want_gathered = threading.Event()
        """Set by main when it waits before the first sync mark."""
        self.over = threading.Event()
        """Set when the migration has failed or every thread has ended."""
        self.engines = Engines(note)
        self.check_mark: Callable[[int], None] = lambda _: None
        """Called before a mark is let go; raises if what came differs from what was sent."""
        self.source_gave_up: Callable[[float], bool] = lambda _: True
        """Whether a source whose main broke behind ram's END gave up; waits so long for a sign."""
        self._listeners: list[Callable[[RamferryError], None]] = []
        self.sources: list[Connection] = []
        """Connections towards the source, main first."""
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def asked(self) -> bool:
        """Whether the side that this migration comes from may ask how it ended."""
        return self.agreed_in is not None and self.agreed_in.answers

    @property
    def mixed(self) -> bool:
        """Whether the source's method may change from packet to packet."""
        return self.agreed_in is not None and self.agreed_in.method_per_packet

    @property
    def phase(self) -> Phase:
        """How far the migration is."""
        return self._phase

    @property
    def failed(self) -> bool:
        """True once it has failed; takes no lock."""
        return self._phase is Phase.FAILED

    def advance(self, phase: Phase, *, taken: bool | None = None) -> bool:
        """Enter a later phase; an earlier one is ignored. False if the migration has failed: then
        ``taken`` is not noted, since a source that is held has to hear of it first."""
        if phase is Phase.SWITCHOVER and self.causes.broken is not None:
            self.fail(self.causes.broken)
        with self._lock:
            if self._phase is not Phase.FAILED:
                self.switched = self.switched or phase is Phase.SWITCHOVER
                self.taken = self.taken if taken is None else taken
                self.tally.switchover.enter(phase)
            self._phase = max(self._phase, phase)
            return self._phase is not Phase.FAILED

    @property
    def held(self) -> bool:
        """True if it has failed, and nobody knows whether the guest runs at the destination, so
        that it has to stand still at the source."""
        return self.holds and self.switched and self.failed and self.taken is None

    def when_failed(self, tell: Callable[[RamferryError], None]) -> None:
        """Have ``tell`` called, in any thread, if it fails, before its connections end."""
        self._listeners.append(tell)

    def fail(self, error: Failure, *, final: bool = False) -> None:
        """Fail the migration, unless it is too late or it has failed already.

        :param error: or what makes it, of a phase that stays.
        :param final: the caller knows that nobody took the guest over, so the migration may fail
            even in the switchover or while the sink makes it final.
        """
        with self._lock:
            late = self._phase is Phase.SWITCHOVER and not final
            sealed = self._phase is Phase.SEALED and not final
            if sealed or self._phase >= Phase.CONFIRMED:
                return  # whoever cancels sees from the result that it was too late
            error = error() if callable(error) else error
            agreed = self.agreed_in or self.agreed_out
            if late and agreed is not None and isinstance(error, RemoteProtocolError):
                self.causes.damage = self.causes.damage or error
            if not late:
                error = self.causes.told(error)
                self.error = error  # first: whoever sees the phase, without the lock, finds it
                self.taken = False if self.ends_here else self.taken
                self._phase = Phase.FAILED
        if late:
            # not under the lock, which every other thread of the migration needs to go on
            self.note(warning(f"in the switchover, left to the destination to judge: {error}"))
            return
        self.gate.end()
        self.gathered.set()
        self.behind.unblock()
        for tell in self._listeners:
            tell(error)
        self.over.set()
        self._wake()

    def check(self) -> None:
        """Do nothing unless the migration has failed.

        :raise Unwind: it has.
        """
        if self._phase is Phase.FAILED:
            raise Unwind

    def gather(self) -> None:
        """Wait until every channel is here; called by main before the first mark."""
        self.want_gathered.set()
        self.gathered.wait()
        self.check()
        self.advance(Phase.CARRYING)

    @property
    def sighted(self) -> bool:
        """True while main is parsed, so that its marks and ram's END are seen."""
        return self.blind_since is None and self.gate.gated and not self.plain.blind

    def lost_sight(self, idstr: str, why: str) -> None:
        """Called when main comes to bytes that cannot be parsed: marks may pass unseen."""
        if self._phase < Phase.SWITCHOVER:
            self.note(f"main: device {idstr!r} is copied, not parsed ({why})")
            self.blind_since = time.monotonic()

    def regained_sight(self) -> None:
        """Called when main can be parsed again."""
        self.blind_since = None

    def note_codecs(self, method: str, decoder: Decoder, encoder: Encoder | None) -> None:
        """Called when a channel has seen the source's method and made its codecs.

        :raise RemoteProtocolError: another channel saw another method.
        """
        with self._lock:
            seen = self.method_in.split(", ") if self.method_in else []
            if seen and method not in seen and not self.mixed:
                raise RemoteProtocolError(f"method {self.method_in} on every channel", method)
            self.method_in = ", ".join(dict.fromkeys([*seen, method]))
        self.engines.add(decoder, encoder)

    def start(
        self, name: str, run: Callable[[], None], farewell: Callable[[], None] = lambda: None
    ) -> None:
        """Run ``run`` in a thread of this migration. If it raises, the migration fails.

        :param farewell: called when ``run`` has ended in any way, unless the migration has failed.
        """

        def body() -> None:
            try:
                run()
            except Unwind:
                pass
            except RamferryError as error:
                self.fail(error)
            except MemoryError as error:
                self.fail(HostError(f"not enough memory: {error or 'none is left'}"))
            except Exception as error:
                self.fail(RamferryError(f"internal error in {name}: {error!r}"))
            if self._phase is not Phase.FAILED:
                farewell()

        thread = threading.Thread(target=body, name=name, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def running(self) -> bool:
        """True while any thread of the migration lives.

        A thread that starts another stands before it in the list, and lives until that has started.
        """
        with self._lock:
            threads = tuple(self._threads)
        return any(thread.is_alive() for thread in threads)

    def tear_down(self) -> None:
        """End every connection, which wakes the threads that wait on one.

        Those of ``behind`` come first: the destination's main never waits for a SYNC, because a
        mark is passed on only after all of them, so it sees the end and fails. Connections to the
        source are reset, unless it is ``held``: another process has them then.
        """
        self.behind.tear_down()
        for connection in () if self.held else list(self.sources):
            connection.reset()

    def end(self) -> bool:
        """End what is left of it, and wait for its threads; True if the migration completed."""
        completed = self._phase is Phase.CONFIRMED
        if completed:
            # all bytes are delivered, and both sides have left their connections open
            for connection in self._connections():
                connection.cut()
        else:
            # also where a fault of Ramferry's own left it sealed: the source was told nothing
            self.fail(MigrationFailed("every connection ended early"), final=True)
            self.tear_down()
        # threads that wait on the connections of a source that is held cannot be woken
        self.close(_HELD if self.held else _PATIENCE)
        return completed

    def close(self, patience: float = _PATIENCE) -> None:
        """Wait for the threads and free the connections."""
        wait = Patience(patience)
        for thread in self._threads:
            while thread.is_alive() and not wait.over:
                thread.join(min(wait.left, _JOIN_STEP))
        for connection in self._connections():
            connection.close()

    def _connections(self) -> list[Connection]:
        return [*self.behind.connections(), *self.sources]
