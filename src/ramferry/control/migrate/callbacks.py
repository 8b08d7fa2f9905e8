"""How a migration talks to its caller; every call comes from the thread that called it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ramferry.control.migrate.route import Route
from ramferry.forecast.eta import MigrationSample


def _ignore(_: object) -> None:
    """The default callback, which does nothing."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Callbacks of a migration, and the events that its caller sets to end it."""

    on_route: Callable[[Route], None] = _ignore
    """Called once, when the route is chosen."""
    on_sample: Callable[[MigrationSample], None] = _ignore
    """Called about five times a second while memory moves."""
    on_note: Callable[[str], None] = _ignore
    """Called with a sentence that a person should see, though it is no failure."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set it, from a signal handler or another thread, to cancel."""
    insist: threading.Event = field(default_factory=threading.Event)
    """Set it, in the same way, to give up waiting for a migration that cannot be ended."""
    on_doubt: Callable[[str], None] = _ignore
    """Called before anything is touched with the reason why the guest may not arrive as it left, if
    there is one. A benchmark ignores it, since its guests are made for the purpose."""
