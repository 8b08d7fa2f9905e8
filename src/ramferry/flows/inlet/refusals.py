"""What is said of connections that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ramferry.metrics.notes import refusal
from ramferry.patience import Patience

AGAIN: Final = 5.0
"""Seconds in which a sentence is not said again: a QEMU at the wrong address opens a connection for
each of its channels."""


class Refusals:
    """Notes on refused connections, each once for connections that come together."""

    def __init__(self, note: Callable[[str], None], running: Patience) -> None:
        """:param running: the clock of whoever refuses."""
        self._note = note
        self._running = running
        self._said: dict[str, float] = {}
        """Sentences of the last seconds, and when they were said."""

    def say(self, origin: str, why: str) -> str:
        """Say, unless that was done just now, why a connection was refused; returns the sentence.

        :param origin: where it comes from.
        :param why: what follows "it" in a sentence.
        """
        sentence, now = f"refused a connection of {origin}: it {why}", self._running.spent
        self._said = {one: at for one, at in self._said.items() if now - at < AGAIN}
        if sentence not in self._said:
            self._said[sentence] = now
            self._note(refusal(sentence))
        return sentence
