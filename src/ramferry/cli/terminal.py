"""A command under way at a terminal: notes and progress go there, signals come from there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console

from ramferry.cli.interrupt import Wish, stop_on_signals
from ramferry.cli.screen import screen as open_screen
from ramferry.standard import shown


@dataclass(frozen=True, slots=True)
class Terminal:
    """What a command and whoever started it tell each other."""

    screen: Console
    """Standard error, for notes and progress."""
    stop: threading.Event
    """Set on a signal."""
    insist: threading.Event
    """Set on a second one."""

    def say(self, sentence: str) -> None:
        """Print a sentence, which may have words of a peer."""
        self.screen.print(shown(sentence), soft_wrap=True, markup=False)

    def note(self, sentence: str) -> None:
        """Print a sentence as one of Ramferry's."""
        self.say(f"ramferry: {sentence}")


@contextmanager
def terminal() -> Iterator[Terminal]:
    """A screen, and signals as wishes to stop, for as long as the block runs."""
    stop, insist = Wish(), Wish()
    with open_screen() as screen, stop_on_signals(stop, insist):
        yield Terminal(screen, stop, insist)
