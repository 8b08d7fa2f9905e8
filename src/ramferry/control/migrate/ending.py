"""How a migration is ended so that never two guests run, whoever asks and whenever.

Until the source has stopped its guest for good, ``migrate_cancel`` is safe. From then on only the
destination knows whether it has the guest, so it is asked first. If it does not have all of it, it
is told ``stop``, which QEMU takes in ``inmigrate`` as the wish not to start what arrives; only then
can the source be told to go on with its guest. If it has the guest, it keeps it, and the source is
waited for. If it does not answer, nothing is decided. ``docs/architecture.md`` has the table.
"""

from __future__ import annotations

from collections.abc import Callable

from ramferry.control.migrate.pausing import Pause
from ramferry.control.qemu.end import QemuEnd
from ramferry.control.qemu.status import ARRIVING, GONE, PAUSED, STANDING, whereabouts
from ramferry.errors import MethodUnavailable, RamferryError

FOLLOW_SECONDS = 3.0
"""How long a destination may take to end after its migration has failed: 0.1 s as a rule, longer if
it waits for bytes that are held up somewhere."""

RESUME_SECONDS = 10.0
"""How long the source's guest may take to run again after a failed migration."""


class Ending:
    """Ends one migration so that exactly one guest is left."""

    def __init__(
        self,
        source: QemuEnd,
        destination: QemuEnd,
        note: Callable[[str], None],
        pause: Pause | None = None,
    ) -> None:
        """Both ends stay the caller's.

        :param note: called with what a person should know, once for each sentence.
        :param pause: what stopped the source's guest for the rest, if anything did.
        """
        self._pause = pause or Pause(source, destination, note)
        self._source = source
        self._destination = destination
        self._note = note
        self._said: set[str] = set()
        self.barred = False
        """True once the destination was told not to start a guest that may still arrive."""
        self.may_be_barred = False
        """True once it was to be told, whether or not it has answered."""
        self.refused = False
        """True once the source has refused to cancel."""
        self.holder = ""
        """The destination's run state once it was seen to have the guest; empty before."""
        self.moved = False
        """Set by ``settle``: True if the destination keeps the guest, though the migration
        failed."""

    def attempt(self, why: str) -> bool:
        """Cancel at the source if that cannot make a second guest; return False if it has to be
        tried again later.

        :param why: a clause, for the notes.
        """
        far = self.bar()
        if self.holder:
            self.say(
                f"{why}: too late to end the migration, as the destination has the guest, which is "
                f"{self.holder} there; waiting for the source to hear of it"
            )
            return False
        if far is None and self._source_stands():
            self.say(
                f"{why}: the guest stands still for the switchover, and the destination does not "
                "answer: nothing is cancelled before it was asked whether it has the guest"
            )
            return False
        try:
            self._source.execute("migrate_cancel")
        except MethodUnavailable as error:  # its status changed meanwhile: the next look shows
            self.refused = True
            self.say(str(error))
        except RamferryError as error:  # so it does of one that does not answer, or has ended
            self.say(str(error))
            return False
        return True

    def bar(self) -> str | None:
        """Tell the destination, if it still receives, not to start its guest by itself.

        :return: its run state afterwards; None if it does not answer, ``GONE`` if it has ended.
        """
        far = self.look()
        if far != ARRIVING or self.barred or not self._destination.receives():
            return far
        before, self.may_be_barred = self.may_be_barred, True
        try:
            self.barred = self._destination.bar()
        except MethodUnavailable as error:
            self.may_be_barred = before
            self.say(str(error))
        if not self.barred:
            return None
        far = self.look()
        if self.holder:
            # it came in between, and stands still because of us alone
            self.release()
            far = self.look()
        return far

    def look(self) -> str | None:
        """The destination's run state, as ``bar`` returns it."""
        far = self._destination.look()
        if far not in (None, GONE, ARRIVING):
            self.holder = str(far)
        return far

    def release(self) -> None:
        """The destination has the guest: let it run there, if it ran before."""
        if not self.may_be_barred:
            return
        self.barred = self.may_be_barred = False
        if self._source.facts.run_state != "running":
            return
        try:
            self._destination.execute("cont")
        except RamferryError as error:
            self.say(f"the guest stands still at the destination, `cont` it there: {error}")

    def advice(self) -> list[str]:
        """What to do with a source whose guest stands still, and whose migration is left to itself:
        a clause, or none."""
        if not self.holder:
            return []
        return ["the destination has it: if the source's QEMU does not end by itself, `quit` it"]

    def settle(self, *, switched: bool) -> str:
        """After the source's migration has failed, leave one guest; return a clause that says where
        it is.

        If an end was lost at the worst moment, QEMU lets both guests run, because the source's goes
        on when its main channel closes before the answer. The destination's guest is kept if it was
        seen to be there while the source's stood still, or if the source's stands still for good: a
        built-in guest's does where nobody could be asked. Otherwise the source's is kept.

        :param switched: whether the source's guest stood still for the switchover.
        """
        if self._pause.asked:
            self._pause.undo(self._follow())
        had_it = bool(self.holder)
        before = self._source.facts.run_state
        state = self._source.settle(lambda state: state in (before, GONE), RESUME_SECONDS)
        far = self._follow()
        if far == "running" and state is not None and state != GONE:
            stands = had_it or PAUSED == state != before
            return self._keep_there(state) if stands else self._keep_here(state)
        place = whereabouts(before, state, far)
        if far == ARRIVING and self.barred:
            return f"{place}; the destination waits on, told not to run what comes: end its QEMU"
        if far is None and switched and state not in (None, GONE):
            return (
                f"{place}; the destination does not answer: see that the guest does not run there"
            )
        if far not in (None, GONE, ARRIVING) and state == before:
            return f"{place}; a copy of it stands still at the destination ({far}): end its QEMU"
        return place

    def _keep_here(self, state: str) -> str:
        """The destination began to run only now: stop its guest."""
        before = self._source.facts.run_state
        try:
            self._destination.execute("stop")
        except RamferryError as error:
            place = whereabouts(before, state, None)
            return f"{place}; a copy runs at the destination, end that at once: {error}"
        place = whereabouts(before, state, "paused")
        return f"{place}; it had begun to run at the destination too, and was stopped there"

    def _keep_there(self, state: str) -> str:
        """The destination ran while the source stood still: stop the source's guest, which QEMU let
        go on."""
        self.moved = True
        if state != "running":
            return whereabouts(self._source.facts.run_state, state, "running")
        try:
            self._source.execute("stop")
        except RamferryError as error:
            return f"the guest runs at the destination; end its copy at the source at once: {error}"
        return (
            "the guest runs at the destination, which had it before the source let its own go on: "
            "that was stopped, end the source's QEMU"
        )

    def _follow(self) -> str | None:
        """Bar a destination that still waits, and wait for its end. Returns what ``bar`` does."""
        if self.bar() == ARRIVING and self.barred:
            self._destination.settle(lambda _: self.look() != ARRIVING, FOLLOW_SECONDS)
        return self.look()

    def say(self, sentence: str) -> None:
        """Note a sentence that was not said before."""
        if sentence not in self._said:
            self._said.add(sentence)
            self._note(sentence)

    def _source_stands(self) -> bool:
        """Whether the source's guest stands still for good; True as well if the source does not
        answer."""
        state = self._source.look()
        return state is None or state in STANDING
