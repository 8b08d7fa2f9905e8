"""A migration on the terminal: the orchestrator's hooks, drawn."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rich.console import Console

from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.route import Route
from ramferry.report.progress import Progress


def live_hooks(
    progress: Progress,
    screen: Console,
    method: str,
    channels: int,
    stop: threading.Event,
    insist: threading.Event | None = None,
) -> Hooks:
    """Hooks that draw on ``progress`` and print notes on ``screen``, both the caller's."""

    def on_route(route: Route) -> None:
        progress.begin(f"{method}, {route.name}, {channels} channels")

    return Hooks(
        on_route, progress.show, noting(screen), stop=stop, insist=insist or threading.Event()
    )


def noting(screen: Console) -> Callable[[str], None]:
    """What prints a note on ``screen``, the caller's."""

    def note(sentence: str) -> None:
        screen.print(f"ramferry: {sentence}", soft_wrap=True, markup=False)

    return note
