"""The sender: a live migration of a guest whose memory this process holds.

It completes only with the destination's SHUT; a fault before that leaves the guest here. Once the
device state is on its way, silence is no fault any more, only the end of main is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ramferry.errors import Cancelled, RamferryError
from ramferry.flows.ends.guest_stream import GuestStream, SendingGuest
from ramferry.flows.ends.precopy import Precopy, Rounds
from ramferry.flows.ends.send_record import SendRecord
from ramferry.flows.outlet.answer import refused
from ramferry.flows.outlet.outgoing import Outgoing
from ramferry.flows.session.reminder import ONLY_THERE, SILENT_DESTINATION, Reminder
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

        :raise RamferryError: why it failed; the guest is as it was before.
        """
        with self._outgoing:
            try:
                self._carry()
            except RamferryError as error:
                self._fail(error)
                raise
            except Exception as error:
                self._fail(RamferryError(f"internal error in the sender: {error!r}"))
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
            dirty = self._stream.precopy(tracker, self._precopy.downtime_limit_ms)
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
        try:
            refusal = self._outgoing.hand_over(state, Reminder(self._note, SILENT_DESTINATION).look)
        except RamferryError as error:
            raise error.reworded(f"{error}{ONLY_THERE}") from error
        if refusal:
            raise refused(refusal)
        self._record.hand_over()

    def _fail(self, error: RamferryError) -> None:
        self.error = str(error)
        if isinstance(error, Cancelled):
            self._record.to("cancelling")
        self._outgoing.abort(error)
        if self._record.stopped and not self._abandoned:
            self._guest.resume()
        self._record.to("cancelled" if isinstance(error, Cancelled) else "failed")
