"""The sender: a live migration of a guest whose memory this process holds.

It completes only with the destination's SHUT; a fault before that leaves the guest here. Once the
device state is on its way, silence is no fault any more, only the end of main is. Where the far end
is a Ramferry that answers, that is none either: it is asked whether the destination has the guest,
which stands still here until that is known.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ramferry.errors import Cancelled, RamferryError
from ramferry.flows.ends.guest_stream import GuestStream, SendingGuest
from ramferry.flows.ends.precopy import Precopy, Rounds
from ramferry.flows.ends.send_record import SendRecord
from ramferry.flows.outlet.outgoing import Outgoing
from ramferry.flows.session.reminder import (
    ASKED_DESTINATION,
    ONLY_THERE,
    SILENT_DESTINATION,
    UNDECIDED,
    Reminder,
)
from ramferry.flows.settings import SendSettings
from ramferry.metrics import SendProgress
from ramferry.transport.security import IN_THIS_HOST
from ramferry.vocabulary import Status


class Sender:
    """One migration that begins here. ``run`` needs its own thread; the rest may be called from
    any."""

    def __init__(
        self,
        settings: SendSettings,
        precopy: Precopy,
        guest: SendingGuest,
        on_status: Callable[[Status], None],
        on_pass: Callable[[int], None] = lambda _: None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """The callbacks are called in the thread of ``run``.

        :param on_pass: called with the number of each pass over the dirty pages, from 1.
        :param note: called with a sentence that a person should know.
        :raise UsageError: there is no such method, it has no such level, or
            ``settings.security`` does not allow the destination.
        """
        (settings.security or IN_THIS_HOST).check_connect(settings.connect)
        self._precopy = precopy
        self._downtime_limit_ms = precopy.downtime_limit_ms
        self._guest = guest
        self._note = note
        self.error = ""
        """Why it failed or was cancelled; empty if it did not."""
        self._outgoing = Outgoing(settings)
        self._rounds = Rounds(settings.page_size)
        self._record = SendRecord(on_status)
        self._stream = GuestStream(guest, self._outgoing, self._rounds, settings.method, on_pass)
        self._proceed = threading.Event()
        self._lock = threading.Lock()
        self._sealed = False
        """True once the tail is on its way: from then on only the destination knows whether its
        guest runs."""
        self._abandoned = False

    def run(self) -> None:
        """Carry the guest over, or leave it running here.

        :raise PeerTimeout: nobody knows whether the destination runs the guest; it stands still
            here, and the sentence says what to do.
        :raise RamferryError: why it failed; the guest is as it was before.
        """
        with self._outgoing:
            try:
                self._carry()
            except RamferryError as error:
                raise self._failed(error) from error
            except Exception as error:
                self._failed(RamferryError(f"internal error in the sender: {error!r}"))
                raise
        self._record.to("completed")

    def cancel(self, reason: str) -> bool:
        """Cancel it; return False if it is too late, because the destination may have the guest."""
        with self._lock:
            if self._sealed:
                return False
            self._outgoing.abort(Cancelled(reason))
            self._proceed.set()
            return True

    def abandon(self) -> None:
        """Break the migration off at any point, because the guest's process ends."""
        self._abandoned = True
        self._outgoing.abort(Cancelled("the source's process ended"))
        self._proceed.set()

    def proceed(self) -> None:
        """Go on from "pre-switchover"."""
        self._proceed.set()

    def set_bandwidth(self, rate: float) -> None:
        """Change the cap, in wire bytes per second; 0: no cap."""
        self._outgoing.set_bandwidth(rate)

    def set_downtime_limit(self, milliseconds: int) -> None:
        """Change how long the guest may stand still; the end of the present round heeds it."""
        self._downtime_limit_ms = milliseconds

    def progress(self) -> SendProgress:
        """How far it is."""
        return self._record.progress(self._rounds, self._outgoing, self._guest.ram.total)

    def _carry(self) -> None:
        self._record.to("setup")
        self._outgoing.open()
        tracker = self._guest.watch()
        try:
            self._stream.begin()
            self._record.set_up()
            self._record.to("active")
            dirty = self._stream.precopy(tracker, lambda: self._downtime_limit_ms)
            self._stop_guest()
            self._stream.end(tracker, dirty)
            self._hand_over()
        finally:
            tracker.close()  # 40 ms a GiB, which a guest that stands still need not wait for

    def _stop_guest(self) -> None:
        self._outgoing.check()
        self._record.stop()
        self._guest.pause()
        if self._precopy.pause_before_switchover:
            self._record.to("pre-switchover")
            while not self._proceed.wait(0.1):
                self._outgoing.check()
        self._outgoing.check()
        self._record.to("device")

    def _hand_over(self) -> None:
        """Send the device state, and wait until the destination has taken the guest over."""
        state = self._guest.device_state()
        with self._lock:
            self._outgoing.check()
            self._sealed = True
        asks = self._outgoing.session.holds
        reminder = Reminder(self._note, ASKED_DESTINATION if asks else SILENT_DESTINATION)
        self._outgoing.hand_over(state, reminder.look)
        self._record.hand_over()

    def _failed(self, error: RamferryError) -> RamferryError:
        """End it, and let the guest go on unless it may run at the destination; returns the error
        with a clause for that."""
        cancelled = isinstance(error, Cancelled)
        if cancelled:
            self._record.to("cancelling")
        self._outgoing.abort(error)
        error = error.reworded(f"{error}{self._whereabouts()}")
        self.error = str(error)
        if self._record.stopped and not self._abandoned:
            go_on = self._guest.stand_still if self._outgoing.session.held else self._guest.resume
            go_on()
        self._record.to("cancelled" if cancelled else "failed")
        return error

    def _whereabouts(self) -> str:
        session = self._outgoing.session
        if session.held:
            return UNDECIDED
        return ONLY_THERE if self._outgoing.sealed and session.taken is None else ""
