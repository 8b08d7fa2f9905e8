"""The end of a restore, from the first byte with which the QEMU may start its guest.

::

    the QEMU is    what is done with a wish to stop         what is said
    inmigrate      QMP ``stop``: a guest that comes stands  that it was not started, or stands
                   still there; then the stream is ended    there, or that the QEMU ended
    silent         it is asked again, until a second wish   once, that it is waited for
    anything else  nothing: the guest is there              that it was too late

A ``stop`` that was not answered in time may be heeded later: a guest that stands still then does so
because of it, and that is said.
"""

from __future__ import annotations

from typing import Final

from ramferry.control.archive.callbacks import ArchiveHooks
from ramferry.control.qemu.end import QemuEnd
from ramferry.control.qemu.status import ARRIVING, GONE, HANDOVER_SECONDS, PAUSED
from ramferry.errors import (
    Cancelled,
    MethodUnavailable,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
)
from ramferry.flows.session.reminder import Reminder
from ramferry.patience import Patience

SILENCE_SECONDS: Final = 60.0
"""How long a QEMU that has all of the guest may stay silent, on main and at its monitor, while it
loads."""
AFTERWARDS_SECONDS: Final = 3.0
"""How long a QEMU may take to end, or to have its guest, after the stream has ended."""
NOT_STARTED: Final = "cancelled: the guest was not started; the file is as it was"
_WAITED_FOR: Final = (
    "the QEMU has all of the guest, and has not said for {seconds:.0f} s whether it takes it"
)


class HandOver:
    """Watches one guest's arrival at a QEMU; used by one thread."""

    def __init__(self, destination: QemuEnd, hooks: ArchiveHooks) -> None:
        self._destination = destination
        self._hooks = hooks
        self._begun = False
        """True once the QEMU may start the guest."""
        self._heeded = False
        """True once a wish to stop was found to be too late."""
        self._held = False
        """True once the QEMU was told not to let the guest run when it comes."""
        self._may_hold = False
        """True once it was to be told, whether or not it has answered."""
        self._reminder = Reminder(hooks.note, _WAITED_FOR)
        self._patience = Patience(SILENCE_SECONDS, longest_step=5.0)
        self._asked_in_vain = False

    def look(self) -> None:
        """Act on a wish to stop. Called before the stream's last part, and repeatedly while it is
        sent and the answer is awaited.

        :raise Cancelled: ``hooks.stop`` is set, and the guest will not start by itself.
        :raise PeerTimeout: the QEMU is silent.
        """
        if self._hooks.stop.is_set() and not self._heeded:
            if not self._begun:
                raise Cancelled(NOT_STARTED)
            self._end_if_possible()
        self._begun = True
        self._reminder.look()
        if self._patience.over:
            self._insist()

    def _end_if_possible(self) -> None:
        """Stop, if the QEMU can still be told not to start the guest."""
        state = self._destination.look()
        if state == ARRIVING:
            held = self._hold()
            if not held and not self._heeded:
                state = None  # it may heed that yet: whatever it is now, nothing is too late
            elif held and (state := self._destination.look()) is not None:
                raise Cancelled("cancelled")
        elif state == PAUSED and self._may_hold:
            raise Cancelled("cancelled")
        if state is None:
            if self._hooks.insist.is_set():
                raise Cancelled("cancelled before the QEMU answered")
            if not self._asked_in_vain:
                self._asked_in_vain = True
                self._hooks.note(
                    "the QEMU has all of the guest and may start it, so it is asked before "
                    "anything is cancelled, and does not answer yet; a second signal waits no "
                    "longer"
                )
            return
        self._heeded = True

    def _hold(self) -> bool:
        """Tell the QEMU to let a guest that comes stand still; True if it took that."""
        before, self._may_hold = self._may_hold, True
        try:
            self._held = self._destination.bar()
        except MethodUnavailable as error:
            self._may_hold = before
            self._hooks.note(str(error))
            self._heeded = True
        return self._held

    def _insist(self) -> None:
        """After a long silence ask the QEMU's monitor: if it answers, it is at work and waited
        for."""
        if self._destination.look() is None:
            raise PeerTimeout("the QEMU has all of the guest, and does not answer")
        self._patience.restart()

    def told(self, error: RamferryError) -> RamferryError:
        """The error of a restore after its stream has ended, with what was seen of the guest."""
        if not self._begun:
            return error
        state = self._destination.settle_in(AFTERWARDS_SECONDS)
        return error.reworded(f"{error}: {self._seen(state)}")

    def _seen(self, state: str | None) -> str:
        if state == GONE:
            return "the QEMU ended, and the guest with it (see its log); the file is as it was"
        if state is None:
            held = "was told to have it stand still" if self._held else "may run it yet"
            return (
                f"the QEMU does not answer and {held}: see there, with `info status`, before you "
                "restore the file anywhere else"
            )
        if state == ARRIVING:
            held = ", and stands still if it comes there" if self._held else ""
            return f"the guest was not started{held}; the file is as it was"
        if state == "running":
            return "the guest runs in the QEMU"
        return (
            f"the guest had come, and stands still in the QEMU, which is {state}: `cont` lets it "
            "run, `quit` ends it"
        )

    def settled(self) -> str:
        """Wait until the QEMU has taken its guest over, and return the run state.

        :raise PeerUnreachable: the QEMU ended.
        :raise PeerTimeout: it does not say that the guest is there.
        """
        state = self._destination.settle_in(HANDOVER_SECONDS)
        if state == GONE:
            raise PeerUnreachable(
                "the QEMU took the guest, and then ended: see its log; the file is as it was"
            )
        if state in (None, ARRIVING):
            raise PeerTimeout(
                f"the QEMU took the guest, but is {state or 'silent'} after "
                f"{HANDOVER_SECONDS:g} s: see its log"
            )
        if self._hooks.stop.is_set():
            self._hooks.note("too late to cancel: the guest is there")
        return str(state)
