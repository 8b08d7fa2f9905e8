"""Asks a far Ramferry how a switchover has ended, on as many control connections as that takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from ramferry.errors import MigrationFailed, PeerTimeout, RamferryError
from ramferry.flows.peer.control import Control
from ramferry.patience import Patience
from ramferry.transport.connection import Connection
from ramferry.wire.relay_messages import Ask, Message, Outcome, Told
from ramferry.wire.relay_opening import Kind, Opening

CONNECT: Final = 2.0
"""Seconds that one attempt at a control connection may take."""
_EVERY: Final = 1.0
"""Seconds between two questions, and between two attempts to connect."""
_LOOK: Final = 0.25
"""Seconds between two looks while nothing is heard."""
_ANSWER: Final = 5.0
"""Seconds without an answer after which a control connection is given up for another one."""
_TELL: Final = 5.0
"""Seconds for which the far end is looked for to be told; less than who waits for this relay's end
does."""
_GONE: Final = 5.0
"""Seconds for which it is asked on where the source has ended the migration: the far end then knows
within one round trip whether the guest runs there as well; but nobody is waited for here."""
_LONGEST_STEP: Final = 5.0
"""Seconds that one step may take: an attempt to connect, with TLS."""


class Asking:
    """The questions about one migration; ``step`` and ``close`` are called in one thread."""

    def __init__(
        self,
        resume: Callable[[], Connection],
        token: bytes,
        decide: float,
        control: Control | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param resume: makes a connection to the far end.
        :param decide: seconds of silence after which the far end is given up; time in which this
            process was stopped does not count.
        :param control: the control connection so far, which stays the caller's, who calls ``hear``
            with what comes on it; None if there is none.
        """
        self._resume = resume
        self._token = token
        self._control = self._first = control
        self._own: Control | None = None
        """The control connection that this object made last."""
        self._seconds = decide
        self._patience = Patience(decide, longest_step=_LONGEST_STEP, clock=clock)
        self._pause = Patience(_EVERY, longest_step=_LONGEST_STEP, clock=clock)
        self._unanswered: Patience | None = None
        self._clock = clock
        self._begun = False
        self._told_cut = False
        self._lock = threading.Lock()
        self._word: Outcome | None = None
        self._news = threading.Event()
        """Set when the far end has answered, or a control connection has ended."""
        self.trouble = "it does not answer"
        """Why nothing is known, as a clause."""

    def hear(self, message: Message | None, control: Control | None = None) -> None:
        """Take what came on a control connection; None: it has ended. Called in any thread.

        :param control: the connection; None for the one that was there at first.
        """
        with self._lock:
            if isinstance(message, Outcome):
                if self._word is None or self._word.outcome == "pending":
                    self._word = message
            elif message is None and (control or self._first) is self._control:
                self._control, self.trouble = None, "the control connection ended"
            else:
                return
        self._news.set()

    def step(self, *, cut: bool) -> Outcome | None:
        """Ask if it is time to; return the outcome once it is known, None before.

        :param cut: whether nothing more is sent on main.
        :raise PeerTimeout: nothing was heard for ``decide`` seconds, or the far end cannot know.
        """
        if not self._begun:
            self._begun = True
            self._patience.restart()
        word = self._heard()
        if word is not None and word.outcome in ("taken", "not taken"):
            return word
        if word is not None and word.outcome == "unknown":
            raise PeerTimeout(f"the far end cannot know whether the destination has it: {word.why}")
        if self._patience.over:
            raise PeerTimeout(
                f"the far end did not say within {self._seconds:g} s whether the destination has it"
                f" ({self.trouble})"
            )
        self._go_on(cut=cut)
        return None

    def until_known(
        self,
        gone: Callable[[], bool] = lambda: False,
        check: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Ask until the outcome is known; nothing more is sent on main.

        :param gone: whether the source, if there is a connection to it, has ended the migration.
        :param check: called repeatedly; if it raises, the wait ends.
        :raise PeerTimeout: the far end does not say.
        :raise MigrationFailed: the source ended the migration meanwhile, and the far end does not
            say within a few seconds.
        """
        left: Patience | None = None
        while (outcome := self.step(cut=True)) is None:
            check()
            if gone():
                left = left or Patience(_GONE, longest_step=_LONGEST_STEP, clock=self._clock)
            if left is not None and left.over:
                raise MigrationFailed(
                    "main: the source ended the migration in the switchover, and the far relay does"
                    f" not say how it ended there ({self.trouble}); see with `info status` which"
                    " QEMU runs the guest, and end the one where it should not"
                )
            self._news.wait(_LOOK)
            self._news.clear()
        return outcome

    def told(self, *, seek: bool = False) -> None:
        """Say that the source was told, so that the far end may forget the outcome.

        :param seek: whether another control connection is tried for a while if the last one broke,
            because a far end that is not told stays for long.
        """
        patience = Patience(_TELL, clock=self._clock)
        while (control := self._control) is None or not control.say(Told()):
            self._give_up_control()
            if not seek or patience.over:
                return
            self._connect(cut=True)
            if self._control is None:
                self._news.wait(_LOOK)
                self._news.clear()

    def close(self) -> None:
        """End the control connection that this object has made."""
        if self._own is not None:
            self._own.close()

    def _heard(self) -> Outcome | None:
        """What the far end has said since the last look."""
        with self._lock:
            word, self._word = self._word, None
        if word is not None:
            self._patience.restart()
            self._unanswered = None
        return word

    def _go_on(self, *, cut: bool) -> None:
        urgent = cut and not self._told_cut
        if self._unanswered is not None and self._unanswered.over:
            self.trouble = "it accepts connections, and says nothing"
            self._give_up_control()
        due = self._pause.over
        if self._control is None:
            if due or urgent:
                self._told_cut = cut
                self._connect(cut=cut)
        elif due or urgent:
            self._told_cut = cut
            self._ask(self._control, cut=cut)

    def _ask(self, control: Control, opening: Opening | None = None, *, cut: bool) -> None:
        self._pause.restart()
        if self._unanswered is None:
            self._unanswered = Patience(_ANSWER, longest_step=_LONGEST_STEP, clock=self._clock)
        if not control.say(Ask(cut=cut), opening):
            self._give_up_control()

    def _connect(self, *, cut: bool) -> None:
        self._pause.restart()
        try:
            control = self._renewed()
        except RamferryError as error:
            self.trouble = str(error)
            return
        with self._lock:
            self._control = control
        self._unanswered = None
        self._ask(control, Opening(Kind.RESUMED, self._token), cut=cut)
        control.listen(partial(self.hear, control=control))

    def _renewed(self) -> Control:
        """Another control connection in place of the one that was made last.

        :raise RamferryError: there is none to be had.
        """
        control = Control(self._resume())
        if self._own is not None:
            self._own.close()
        self._own = control
        return control

    def _give_up_control(self) -> None:
        with self._lock:
            control, self._control = self._control, None
        self._unanswered = None
        if control is not None:
            control.cut()
