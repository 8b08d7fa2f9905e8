"""A migration on the terminal: the orchestrator's hooks, drawn."""

from __future__ import annotations

from ramferry.cli.terminal import Terminal
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.route import Route
from ramferry.report.progress import Progress


def live_hooks(progress: Progress, at: Terminal, method: str, channels: int) -> Hooks:
    """Hooks that draw on ``progress`` and print notes at a terminal, both the caller's."""

    def on_route(route: Route) -> None:
        moved = ", level auto" if any(one.auto_level for one in route.relays) else ""
        progress.begin(f"{method}{moved}, {route.name}, {channels} channels")

    return Hooks(on_route, progress.show, at.note, at.stop, at.insist)
