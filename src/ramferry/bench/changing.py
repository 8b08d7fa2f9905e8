"""Has a change begin and end at its moments of a migration, and undoes it whatever happens."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Final, Protocol, Self

from ramferry.bench.change import Change
from ramferry.bench.link import ShapedLink
from ramferry.bench.monitored import dies_with_us
from ramferry.control.migrate.callbacks import Hooks
from ramferry.errors import HostError
from ramferry.forecast.eta import MigrationSample

_BURN: Final = "while True: pass"


class _Effect(Protocol):
    """What a change does."""

    def begin(self) -> None:
        """:raise HostError: this host cannot."""

    def end(self) -> None:
        """Undo it; twice does no harm.

        :raise HostError: this host cannot.
        """


class Burning:
    """Processes that keep a core each busy; they end with the thread that started them."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self.processes: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        """Start them.

        :raise HostError: they cannot be started.
        """
        command = [*dies_with_us(), sys.executable, "-S", "-c", _BURN]
        try:
            for _ in range(self._cores):
                # a Ctrl-C is for us
                self.processes.append(subprocess.Popen(command, process_group=0))
        except OSError as error:
            raise HostError(f"other work cannot be started: {error}") from error

    def end(self) -> None:
        """End them."""
        while self.processes:
            process = self.processes.pop()
            process.kill()
            process.wait()


class _Reshaped:
    """A link at another rate."""

    def __init__(self, link: ShapedLink, rate: float) -> None:
        self._link, self._rate = link, rate

    def begin(self) -> None:
        self._link.reshape(self._rate)

    def end(self) -> None:
        self._link.reshape(self._link.rate)


class Changing:
    """A context manager around one migration, in which a change begins and ends."""

    def __init__(self, change: Change | None, link: ShapedLink | None) -> None:
        """
        :param change: None if nothing changes.
        :param link: where the two hosts meet; None if nothing shapes it.
        :raise HostError: another rate is asked of a link that nothing shapes.
        """
        self._change = change
        self._effect: _Effect | None = None
        self._moments: list[tuple[float, bool]] = []
        """When it begins (True) and ends (False), what is still to come."""
        self._under_way = False
        self._error: HostError | None = None
        if change is None:
            return
        if change.rate and link is None:
            raise HostError("the link's rate can be changed only where tc shapes it (--shape tc)")
        both = link is not None and change.rate > 0
        self._effect = _Reshaped(link, change.rate) if both and link else Burning(change.cores)
        self._moments = [(change.begin, True)]
        if change.end is not None:
            self._moments.append((change.end, False))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._turn(begins=False)

    def watching(self, hooks: Hooks) -> Hooks:
        """Hooks by which the migration tells how far it is; they call ``hooks`` in turn."""

        def on_sample(sample: MigrationSample) -> None:
            self.heed(sample.seconds)
            hooks.on_sample(sample)

        return replace(hooks, on_sample=on_sample) if self._moments else hooks

    def heed(self, seconds: float) -> None:
        """Do what is due.

        What this host refuses is kept for ``check``: a migration's callback must not raise.
        """
        while self._moments and seconds >= self._moments[0][0]:
            self._turn(begins=self._moments.pop(0)[1])

    def check(self) -> None:
        """After the migration.

        :raise HostError: the change could not be made or undone, or it never began: a migration
            that was over before shows nothing.
        """
        if self._error is not None:
            raise self._error
        if self._change is not None and (self._change.begin, True) in self._moments:
            raise HostError(
                f"the migration was over before the change at {self._change.begin:g} s: give it"
                " more --memory, or an earlier --change-at"
            )

    def _turn(self, *, begins: bool) -> None:
        if self._effect is None or begins is self._under_way:
            return
        try:
            self._effect.begin() if begins else self._effect.end()
        except HostError as error:
            self._error = error
        self._under_way = begins
