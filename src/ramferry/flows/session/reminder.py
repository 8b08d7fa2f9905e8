"""Tells a person once that the far end is waited for, if nothing else can end the wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ramferry.patience import Patience

SECONDS: Final = 10.0
"""Seconds until a person is told; an answer takes 0.1 s as a rule."""
SILENT_DESTINATION: Final = (
    "the destination has all of the guest and has said nothing for {seconds:.0f} s: the guest "
    "stands still here; if the destination is dead, end it, and the guest goes on here"
)
ASKED_DESTINATION: Final = (
    "the destination's end has not said for {seconds:.0f} s whether it has taken the guest: it is "
    "asked again and again, and the guest stands still here"
)
ONLY_THERE: Final = (
    ": it had all of the guest, and may run it all the same: look there before both run"
)
"""Behind the cause, if a migration broke off when the destination may have had the guest."""
UNDECIDED: Final = (
    ": the guest stands still here; see with `info status` whether the destination runs it: if so, "
    "`quit` here; if not, end the destination, and then `cont` lets the guest go on here"
)
"""The same, where the guest does not go on by itself."""
UNHEARD: Final = (
    "the guest was taken over, and the connection to the Ramferry at its source is broken: it asks "
    "for the outcome on another one"
)
"""A note where a Ramferry could not be told that its guest was taken over."""


class Reminder:
    """Notes a sentence once, after a time; ``look`` is called repeatedly during the wait."""

    def __init__(
        self, note: Callable[[str], None], sentence: str, patience: Patience | None = None
    ) -> None:
        """
        :param sentence: has ``{seconds}`` for how long it has been.
        :param patience: the time until it is said; None for ``SECONDS``.
        """
        self._note = note
        self._sentence = sentence
        self._patience = patience or Patience(SECONDS)
        self._said = False

    def look(self) -> None:
        """Note the sentence if it is time and it was not noted yet."""
        if not self._said and self._patience.over:
            self._said = True
            self._note(self._sentence.format(seconds=self._patience.seconds))
