"""One end of a migration: its QMP connection, what was changed there, and how that is undone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from ramferry.control.hosts.host import HERE, Host
from ramferry.control.qemu.cpu import CpuMeter, process_of
from ramferry.control.qemu.party import party_of
from ramferry.control.qemu.probe import EXIT_ON_ERROR, probe
from ramferry.control.qemu.qmp import Qmp
from ramferry.control.qemu.settings import MigrationSettings, capability_list, difference
from ramferry.control.qemu.status import ARRIVING, ENDED, GONE, WAITING
from ramferry.errors import (
    HostError,
    MethodUnavailable,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
    UsageError,
)
from ramferry.patience import Patience
from ramferry.transport.address import parse_address
from ramferry.transport.listening import check_free

ASIDE_SECONDS = 3.0
"""How long a question may take whose answer only makes a sentence better. A destination that
waits for a lost channel never answers again."""
AGAIN_SECONDS = 0.5
"""The same, where the last such question was not answered."""
THROUGH_SECONDS = 1.5
"""How long a destination may take to exit after a failed migration: 0.1 s here. One that nobody
connected to stays."""
SETTLE_POLL = 0.05

GOING_SECONDS = 1.0
"""How long a QEMU's listener may take to be gone, once its monitor's connection is."""
HANDOVER_SECONDS = 10.0
"""How long a destination may take from the source's "completed" to its guest's own run state."""
_BARE: Final = "load of migration failed"
"""A destination's words where it has written to its log what of the guest it could not load."""


class QemuEnd:
    """The source or the destination of a migration, connected and probed.

    Also a context manager that closes the connection; the QEMU runs on.
    """

    def __init__(self, side: str, qmp: Qmp, host: Host = HERE) -> None:
        """Probe the QEMU at the far end of ``qmp``, which this object owns from here on.

        :param side: "source" or "destination", for sentences.
        :param host: where it runs, if its process is found there.
        :raise PeerUnreachable: it does not answer as a QEMU does.
        """
        self.side = side
        self._qmp = qmp
        self.facts = probe(qmp)
        pid = process_of(qmp.uri, qmp.peer_pid, self.facts.vcpu_threads)
        self.party = party_of(qmp.uri, self.facts, pid, host)
        self.meter = CpuMeter(pid, self.facts.vcpu_threads)
        self._undo = MigrationSettings({}, {})
        self._listens = False
        self._silent = False
        """It did not answer the last question."""
        self._gone = False
        """A destination that failed was told to end."""
        self._words = ""
        """Its last."""

    def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        """Run one QMP command, as ``Qmp.execute``."""
        return self._qmp.execute(command, arguments)

    def events(self, seconds: float) -> list[str]:
        """Names of what QEMU announced since the last call; waits ``seconds`` for the first."""
        return [event.name for event in self._qmp.events(seconds)]

    def wait_for_event(self, seconds: float) -> bool:
        """Return when QEMU announces something, or after ``seconds``; whether it did."""
        return bool(self.events(seconds))

    def apply(self, wanted: MigrationSettings) -> None:
        """Set what differs from ``wanted``; ``restore`` sets it back.

        :raise MethodUnavailable: the QEMU refuses one of them.
        :raise UsageError: it listens already, too late for a change.
        """
        change, undo = difference(wanted, self.facts)
        if self.facts.listening and not change.empty:
            names = ", ".join([*change.capabilities, *change.parameters])
            raise UsageError(
                f"the {self.side} listens already, too late to set {names}:"
                " start it with -incoming defer"
            )
        self._undo = undo
        self._set(change)

    def listen(self, uri: str) -> None:
        """Tell a destination to listen at a migration URI.

        Where the migration fails, one that can stays to say why, until ``restore`` ends it.

        :raise HostError: it cannot: an address in use, a path it may not write. QEMU itself takes
            away whatever file has the name of its socket; a local one is kept from that.
        """
        if self.party.process is not None:
            check_free(parse_address(uri))
        stays = {EXIT_ON_ERROR: False} if self.facts.stays_to_tell else {}
        try:
            self._qmp.execute("migrate-incoming", {"uri": uri, **stays})
        except MethodUnavailable as error:
            only_once = self._status() == WAITING
            more = "; it takes no second address now: start it anew" if only_once else ""
            raise HostError(f"{error}{more}") from error
        self._listens = True

    def restore(self) -> str:
        """Set back what ``apply`` changed; a clause that says why not, empty where it worked.

        A QEMU that has ended has nothing to set back. One that may still receive is left alone:
        7.2 dies of an assertion when multifd is switched off under it. One that stayed to say why
        its migration failed is ended.
        """
        undo, self._undo = self._undo, MigrationSettings({}, {})
        through = not self._listens or self._is_through()
        if self._gave_up() or undo.empty:
            return ""
        if not through:
            return f"the {self.side} still listens, with the settings of this migration"
        try:
            if self.look() != GONE:
                self._set(undo, timeout=ASIDE_SECONDS)
        except RamferryError as error:
            if self.look() != GONE:
                return f"the {self.side}'s migration settings were not set back: {error}"
        return ""

    def _gave_up(self) -> bool:
        """Whether a destination that stays when its migration fails has failed; then it ends.

        What it says is kept for ``error``. So it goes as it would have gone by itself, and nobody
        waits for a guest in a QEMU that takes no second one.
        """
        if self._gone:
            return True
        stays = self._listens and self.facts.stays_to_tell and self.connected
        if not stays or self._status() != "failed" or self.run_state() != ARRIVING:
            return False
        self._words = self.error()
        self._gone = True
        with suppress(RamferryError):  # it ends before it answers, or hangs as it would have
            self._qmp.execute("quit", timeout=ASIDE_SECONDS)
        return True

    def restore_or_tell(self, note: Callable[[str], None]) -> None:
        """``restore``, and a note where it did not work."""
        if problem := self.restore():
            note(problem)

    def _is_through(self) -> bool:
        """Wait for a destination to have ended, or to have a guest or a failure of its own."""
        patience = Patience(THROUGH_SECONDS, longest_step=ASIDE_SECONDS)
        while not patience.over:
            if self.look() not in (None, ARRIVING) or self._status() in ENDED:
                return True
            time.sleep(SETTLE_POLL)
        return False

    def _status(self) -> str:
        with suppress(RamferryError):
            return str(self._aside("query-migrate").get("status", "none"))
        return ""

    def _aside(self, command: str) -> Any:
        """Ask what is good to know; of a QEMU that did not answer lately not for long.

        One that answers again does so within milliseconds, and six questions to one that hung made
        the end of a migration take 18 s.
        """
        limit = AGAIN_SECONDS if self._silent else ASIDE_SECONDS
        try:
            answer = self._qmp.execute(command, timeout=limit)
        except PeerTimeout:
            self._silent = True
            raise
        self._silent = False
        return answer

    def _set(self, settings: MigrationSettings, **timeout: float) -> None:
        if settings.capabilities:
            capabilities = capability_list(settings.capabilities)
            self._qmp.execute("migrate-set-capabilities", {"capabilities": capabilities}, **timeout)
        if settings.parameters:
            self._qmp.execute("migrate-set-parameters", dict(settings.parameters), **timeout)

    @property
    def connected(self) -> bool:
        """False once the QEMU ended its QMP connection: it has most likely ended itself."""
        return self._qmp.connected

    def run_state(self) -> str | None:
        """``query-status``; None where the QEMU does not answer."""
        with suppress(RamferryError):
            return str(self._aside("query-status")["status"])
        return None

    def look(self) -> str | None:
        """``query-status``, over a new connection where the old one was lost.

        :return: None where it does not answer; ``GONE`` where nobody listens at its monitor's
            address any more, or it was a destination that failed.
        """
        if self._gone:
            return GONE
        if not self.connected:
            try:
                lost, self._qmp = self._qmp, Qmp.connect(self.party.uri, ASIDE_SECONDS)
            except PeerUnreachable as error:
                ended = isinstance(error.__cause__, ConnectionRefusedError | FileNotFoundError)
                return GONE if ended else None
            lost.close()
        return GONE if self._gave_up() else self.run_state()

    def find(self, patience: Patience, insist: threading.Event) -> str | None:
        """``look`` until the monitor can be reached again, patience is over, or ``insist`` set."""
        while (state := self.look()) is None and not self.connected and not patience.over:
            if insist.wait(SETTLE_POLL):
                break
        return state

    def bar(self) -> bool:
        """Tell a destination in ``inmigrate`` not to start the guest that comes; True if it heard.

        QEMU takes ``stop`` as that wish until the guest is there.

        :raise MethodUnavailable: it refuses.
        """
        try:
            self.execute("stop")
        except (PeerUnreachable, PeerTimeout):
            return False
        return True

    def receives(self) -> bool:
        """True where bytes of a guest have come to this destination, so that it may start it."""
        return self._status() not in ("", "none", WAITING)

    def error(self) -> str:
        """What this QEMU says went wrong; empty where it says nothing or does not answer."""
        if self._words:
            return self._words
        with suppress(RamferryError):
            said = str(self._aside("query-migrate").get("error-desc", "")).rstrip(".")
            return f"{said}, see its log" if said.startswith(_BARE) else said
        return ""

    def settle(self, done: Callable[[str | None], bool], seconds: float) -> str | None:
        """Wait up to ``seconds`` until ``done`` is true of what ``look`` sees; the last of it."""
        patience = Patience(seconds, longest_step=ASIDE_SECONDS)
        while True:
            state = self.look()
            if done(state) or patience.over:
                return state
            time.sleep(SETTLE_POLL)

    def settle_in(self, seconds: float) -> str | None:
        """Wait up to ``seconds`` until a received guest is this QEMU's own, or the QEMU is gone."""
        return self.settle(lambda state: state not in (None, ARRIVING), seconds)

    def close(self) -> None:
        """End the connection."""
        self._qmp.close()

    def __enter__(self) -> QemuEnd:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_end(side: str, uri: str, host: Host = HERE) -> QemuEnd:
    """Connect to a QEMU and probe it; the parameters are those of ``QemuEnd``.

    :raise UsageError: ``uri`` is no QMP address.
    :raise PeerUnreachable: nobody answers there, or it is not a QEMU.
    """
    qmp = Qmp.connect(uri)
    try:
        return QemuEnd(side, qmp, host)
    except BaseException:
        qmp.close()
        raise
