"""How a migration talks to its caller; every call comes from the thread that called it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ramferry.control.migrate.route import Route
from ramferry.forecast.eta import MigrationSample


def _ignore(_: object) -> None:
    """What nobody listens to."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Callbacks, and the wish to stop."""

    on_route: Callable[[Route], None] = _ignore
    """Once, when the route is chosen."""
    on_sample: Callable[[MigrationSample], None] = _ignore
    """About five times a second while memory moves."""
    on_note: Callable[[str], None] = _ignore
    """A sentence that a person should see, though it is no failure."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set it, from a signal handler or another thread, to cancel."""
    insist: threading.Event = field(default_factory=threading.Event)
    """Set it, likewise, to leave at once a migration that cannot be ended."""
    on_doubt: Callable[[str], None] = _ignore
    """Before anything is touched, where this guest may not arrive as it left: why. Nobody listens
    who moves a guest that was made to be moved."""
