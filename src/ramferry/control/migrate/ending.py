"""How a migration is ended so that never two guests run, whoever asks and whenever.

Until the source has stopped its guest for good, ``migrate_cancel`` is safe. From then on only the
destination knows whether it has the guest, so it is asked first. One that has not all of it yet is
told ``stop``: QEMU takes that, in ``inmigrate``, as the wish not to start what arrives, and only
then can the source be told to go on with its own. One that has the guest keeps it, and the source
is waited for. One that does not answer decides nothing. ``docs/architecture.md`` has the table.
"""

from __future__ import annotations

from collections.abc import Callable

from ramferry.control.qemu.end import QemuEnd
from ramferry.control.qemu.status import ARRIVING, GONE, STANDING, whereabouts
from ramferry.errors import MethodUnavailable, RamferryError

FOLLOW_SECONDS = 3.0
"""How long a destination may take to end after its migration has failed: 0.1 s as a rule. One that
waits for bytes which are held up somewhere takes as long as those."""

RESUME_SECONDS = 10.0
"""How long the source's guest may take to run again after a failed migration."""


class Ending:
    """Sees to it that one migration leaves one guest."""

    def __init__(self, source: QemuEnd, destination: QemuEnd, note: Callable[[str], None]) -> None:
        """Both ends are the caller's.

        :param note: told what a person should know, each sentence once.
        """
        self._source = source
        self._destination = destination
        self._note = note
        self._said: set[str] = set()
        self.barred = False
        """The destination was told not to start what may still arrive."""
        self.holder = ""
        """Run state of a destination that was seen to have the guest; empty before."""
        self.moved = False
        """After ``settle``: the guest is the destination's, though its migration failed."""

    def attempt(self, why: str) -> bool:
        """Have the source cancel, where no second guest can come of it; False where it must wait.

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
            self.say(str(error))
        except RamferryError as error:  # so it does of one that does not answer, or has ended
            self.say(str(error))
            return False
        return True

    def bar(self) -> str | None:
        """Tell a destination that still receives not to start its guest by itself.

        :return: its run state afterwards; None where it does not answer, ``GONE`` where it ended.
        """
        far = self.look()
        if far != ARRIVING or self.barred or not self._destination.receives():
            return far
        try:
            self.barred = self._destination.bar()
        except MethodUnavailable as error:
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
        """The guest is the destination's: let it run there, if it ran before."""
        if not self.barred:
            return
        self.barred = False
        if self._source.facts.run_state != "running":
            return
        try:
            self._destination.execute("cont")
        except RamferryError as error:
            self.say(f"the guest stands still at the destination, `cont` it there: {error}")

    def settle(self, *, switched: bool) -> str:
        """The source's migration has failed: leave one guest; a clause that says where it is.

        Where an end was lost at the worst moment, QEMU lets both guests run: the source's goes on
        when its main channel closes before the answer. The destination's is kept where it was seen
        to have the guest while the source's stood still, and the source's otherwise.

        :param switched: whether the source's guest stood still for the switchover.
        """
        had_it = bool(self.holder)
        before = self._source.facts.run_state
        state = self._source.settle(lambda state: state in (before, GONE), RESUME_SECONDS)
        far = self._follow()
        if far == "running" and state is not None and state != GONE:
            return self._keep_there(state) if had_it else self._keep_here(state)
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
        """The destination has only just begun to run: stop its copy."""
        before = self._source.facts.run_state
        try:
            self._destination.execute("stop")
        except RamferryError as error:
            place = whereabouts(before, state, None)
            return f"{place}; a copy runs at the destination, end that at once: {error}"
        place = whereabouts(before, state, "paused")
        return f"{place}; it had begun to run at the destination too, and was stopped there"

    def _keep_there(self, state: str) -> str:
        """The destination ran while the source stood still: stop what the source let go on."""
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
        """Bar a destination that still waits, and wait for its end; as ``bar``."""
        if self.bar() == ARRIVING and self.barred:
            self._destination.settle(lambda _: self.look() != ARRIVING, FOLLOW_SECONDS)
        return self.look()

    def say(self, sentence: str) -> None:
        """Note a sentence that was not said before."""
        if sentence not in self._said:
            self._said.add(sentence)
            self._note(sentence)

    def _source_stands(self) -> bool:
        """Whether the source's guest stands still for good; also where it does not say."""
        state = self._source.look()
        return state is None or state in STANDING
