"""One end of a migration: its QMP connection, the settings that were changed, and their undoing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from ramferry.control.hosts.host import HERE, Host
from ramferry.control.qemu import asides
from ramferry.control.qemu.asides import Asides
from ramferry.control.qemu.party import party_of
from ramferry.control.qemu.probe import EXIT_ON_ERROR, probe
from ramferry.control.qemu.qmp import Qmp
from ramferry.control.qemu.settings import MigrationSettings, capability_list, difference
from ramferry.control.qemu.status import ARRIVING, ENDED, GONE, WAITING, not_again
from ramferry.control.qemu.uri import qmp_host
from ramferry.errors import (
    HostError,
    MethodUnavailable,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
    UsageError,
)
from ramferry.interruption import pause
from ramferry.patience import Patience
from ramferry.transport.address import parse_address
from ramferry.transport.listening import check_free

THROUGH_SECONDS = 1.5
"""How long a destination may take to exit after a failed migration: 0.1 s as a rule."""
SETTLE_POLL = 0.05

GOING_SECONDS = 1.0
"""How long after the loss of a monitor's connection a QEMU that ended may still seem to listen."""
HOLDS: Final = (
    "it still holds channels of the migration, and would end itself if multifd were switched off"
    " now: do that once `query-yank` names no migration; as long as it does, no other one can begin"
)
_BARE: Final = "load of migration failed"
"""What a destination says if the details of what it could not load are only in its log."""


class QemuEnd:
    """The source or the destination of a migration, connected and probed.

    A context manager that closes the connection; the QEMU runs on.
    """

    def __init__(self, side: str, qmp: Qmp, host: Host = HERE) -> None:
        """Probe the QEMU at the far end of ``qmp``, which belongs to this object from now on.

        :param side: "source" or "destination", for error messages.
        :param host: where the QEMU runs.
        :raise PeerUnreachable: it does not answer as a QEMU does.
        """
        self.side = side
        self._qmp, self._host = qmp, host
        self.facts = probe(qmp)
        threads = self.facts.vcpu_threads
        pid = host.process_of(qmp_host(qmp.uri), qmp.peer_pid, threads)
        self.party = party_of(qmp.uri, self.facts, pid, host)
        self.meter = host.meter(pid, threads)
        self._undo = MigrationSettings({}, {})
        self._listens = False
        self._asides = Asides(self.execute)
        self._gone, self._took, self._words = False, False, ""
        """Whether a failed destination was told to end, had a guest, and the error it gave."""

    def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, **timeout: float
    ) -> Any:
        """Run one QMP command; see ``Qmp.execute``."""
        return self._qmp.execute(command, arguments, **timeout)

    def events(self, seconds: float) -> list[str]:
        """Names of the events since the last call; waits up to ``seconds`` for the first one."""
        return [event.name for event in self._qmp.events(seconds)]

    def wait_for_event(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for an event; True if one came."""
        return bool(self.events(seconds))

    def apply(self, wanted: MigrationSettings) -> None:
        """Set what differs from ``wanted``; ``restore`` sets it back.

        :raise MethodUnavailable: the QEMU refuses one of them.
        :raise UsageError: it listens already, so it is too late for a change.
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

        If it can, it stays after a failed migration to say why, until ``restore`` ends it.

        :raise HostError: it cannot listen: the address is in use, or it may not write the path.
            QEMU removes any file that has the name of its socket, so an existing file on this host
            is refused here.
        """
        if self.party.process is not None:
            check_free(parse_address(uri))
        stays = {EXIT_ON_ERROR: False} if self.facts.stays_to_tell else {}
        try:
            self._qmp.execute("migrate-incoming", {"uri": uri, **stays})
        except MethodUnavailable as error:
            only_once = self._asides.status() == WAITING
            more = "; it takes no second address now: start it anew" if only_once else ""
            raise HostError(f"{error}{more}") from error
        self._listens = True

    def restore(self) -> str:
        """Set back what ``apply`` changed; return a clause that says why that is not as it was, or
        an empty one.

        A QEMU that may still receive, or holds channels, is left alone: it dies of an assertion
        when multifd is switched off under it. One that stayed to say why its migration failed is
        ended.
        """
        undo, self._undo = self._undo, MigrationSettings({}, {})
        waits = not self._took and bool(self._listens or self.facts.listening)
        through = not waits or self._is_through()
        if waits and (self.look() == GONE or (self._listens and not through)):
            return not_again(self.side, self.look())
        problem = "" if undo.empty or self.look() == GONE else self._set_back(undo)
        if not problem or self.look() == GONE:
            return ""
        return f"the {self.side}'s migration settings were not set back: {problem}"

    def _set_back(self, undo: MigrationSettings) -> str:
        """:return: why it is not done; empty if it is."""
        try:
            if not self._asides.let_go():
                return HOLDS
            self._set(undo, timeout=asides.ASIDE_SECONDS)
        except RamferryError as error:
            return str(error)
        return ""

    def _gave_up(self) -> bool:
        """End a destination that stayed after its migration failed; False if it did not.

        Its error is kept for ``error``. An older QEMU ends by itself here; a newer one would stay,
        but it takes no second guest.
        """
        if self._gone:
            return True
        stays = self._listens and self.facts.stays_to_tell and self.connected
        if not stays or self._asides.status() != "failed" or self.run_state() != ARRIVING:
            return False
        self._words = self.error()
        self._gone = True
        with suppress(RamferryError):  # it ends before it answers, or hangs as it would have
            self._qmp.execute("quit", timeout=asides.ASIDE_SECONDS)
        return True

    def restore_or_tell(self, note: Callable[[str], None]) -> None:
        """Call ``restore``, and note it if that failed."""
        if problem := self.restore():
            note(problem)

    def _is_through(self) -> bool:
        """Wait until a destination has ended, has its guest, or has failed; True if so."""
        patience = Patience(THROUGH_SECONDS, longest_step=asides.ASIDE_SECONDS)
        while not patience.over:
            if self.look() not in (None, ARRIVING) or self._asides.status() in ENDED:
                return True
            time.sleep(SETTLE_POLL)
        return False

    def _set(self, settings: MigrationSettings, **timeout: float) -> None:
        if settings.capabilities:
            capabilities = capability_list(settings.capabilities)
            self._qmp.execute("migrate-set-capabilities", {"capabilities": capabilities}, **timeout)
        if settings.parameters:
            self._qmp.execute("migrate-set-parameters", dict(settings.parameters), **timeout)

    @property
    def connected(self) -> bool:
        """False once the QMP connection has ended; most likely the QEMU has ended too."""
        return self._qmp.connected

    def run_state(self) -> str | None:
        """The run state by ``query-status``; None if the QEMU does not answer."""
        return self._asides.run_state()

    def look(self) -> str | None:
        """The run state by ``query-status``, over a new connection if the old one was lost.

        :return: None if it does not answer; ``GONE`` if nobody listens at its monitor's address any
            more, or if it is a failed destination that was told to end.
        """
        if self._gone:
            return GONE
        if not self.connected:
            try:
                again = Qmp.connect(self.party.uri, asides.ASIDE_SECONDS, self._host)
                lost, self._qmp = self._qmp, again
            except PeerUnreachable as error:
                ended = isinstance(error.__cause__, ConnectionRefusedError | FileNotFoundError)
                return GONE if ended else None
            lost.close()
        state = GONE if self._gave_up() else self.run_state()
        self._took = self._took or state not in (None, GONE, ARRIVING)
        return state

    def find(self, patience: Patience, insist: threading.Event) -> str | None:
        """Repeat ``look`` until the monitor answers, ``patience`` is over, or ``insist`` is set."""
        while (state := self.look()) is None and not self.connected and not patience.over:
            if pause(insist, SETTLE_POLL):
                break
        return state

    def bar(self) -> bool:
        """Tell a destination in ``inmigrate`` not to start its guest; True if it took that, False
        if it does not answer, and may yet take it.

        Until the guest is there, QEMU takes ``stop`` as that wish.

        :raise MethodUnavailable: the QEMU refuses.
        """
        try:
            self.execute("stop", timeout=asides.ASIDE_SECONDS)
        except (PeerUnreachable, PeerTimeout):
            return False
        return True

    def receives(self) -> bool:
        """True if bytes of a guest have come to this destination, so that it may start the guest,
        or may have: it does not say."""
        return self._asides.status() not in ("none", WAITING)

    def error(self) -> str:
        """What this QEMU says went wrong; empty if it says nothing or does not answer."""
        if self._words:
            return self._words
        with suppress(RamferryError):
            said = str(self._asides.ask("query-migrate").get("error-desc", "")).rstrip(".")
            return f"{said}, see its log" if said.startswith(_BARE) else said
        return ""

    def settle(self, done: Callable[[str | None], bool], seconds: float) -> str | None:
        """Repeat ``look`` up to ``seconds`` until ``done`` is true of its result; return that."""
        patience = Patience(seconds, longest_step=asides.ASIDE_SECONDS)
        while True:
            state = self.look()
            if done(state) or patience.over:
                return state
            time.sleep(SETTLE_POLL)

    def settle_in(self, seconds: float) -> str | None:
        """Wait up to ``seconds`` until the QEMU has left ``inmigrate`` or ended; see ``settle``."""
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
    :raise PeerUnreachable: nobody answers there, or what answers is not a QEMU.
    """
    qmp = Qmp.connect(uri, host=host)
    try:
        return QemuEnd(side, qmp, host)
    except BaseException:
        qmp.close()
        raise
