"""Makes a trial's fault happen when its phase is reached, and follows the source's monitor."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from campaign_guests import ASK_SECONDS, Peer
from campaign_phases import Phases
from campaign_route import Route
from campaign_trial import BREAKS, Trial

from fault_blows import Blow, Fault
from ramferry.control.qemu.status import ENDED
from ramferry.errors import RamferryError
from ramferry.interruption import SIGNALS

POLL_SECONDS = 0.02
LATER = 2
"""``dirty-sync-count`` from the second round on."""
ROUND_BYTES = 1_000_000
BORN_SECONDS = 2.0
"""For a command to come to its first line; less than any migration takes, so that a signal meets
one that never heeds it, too."""


class Striker:
    """The fault of one trial."""

    def __init__(self, trial: Trial) -> None:
        self.route: Route | None = None
        """To be set before the phase can be reached."""
        self.struck_at = 0.0
        """``time.monotonic``; 0 before."""
        self.trouble = ""
        """Why it could not be done."""
        self._trial = trial
        self._timers: list[threading.Timer] = []

    @property
    def over(self) -> bool:
        """Whether it has happened and its effects have ended."""
        return bool(self.struck_at) and time.monotonic() > self.struck_at + self._trial.seconds

    @property
    def hit(self) -> bool:
        """Whether it has met what it is for."""
        if self._trial.fault in BREAKS and self.route is not None:
            proxy = self.route.proxies.get(self._trial.place)
            return proxy is not None and proxy.hit.is_set()
        return bool(self.struck_at)

    def hit_before(self, moment: float | None) -> bool:
        """Whether a proxy's blow met what it is for before a moment, or that never came."""
        proxy = self.route and self.route.proxies.get(self._trial.place)
        return bool(proxy and proxy.hit.is_set() and (moment is None or proxy.hit_at < moment))

    def proxy_made(self, place: str) -> None:
        """What concerns a connection's opening is ordered before there is any."""
        if self._trial.phase == "connect" and place == self._trial.place:
            self.strike()

    def close(self) -> None:
        """Nothing happens any more."""
        for timer in self._timers:
            timer.cancel()
            timer.join()

    def strike(self) -> None:
        """The phase is reached."""
        trial = self._trial
        if trial.fault == "cancel" or trial.delay:  # QEMU may take a moment to answer
            self._later(trial.delay, self._strike)
        else:
            self._strike()

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, do)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _strike(self) -> None:
        trial, route = self._trial, self.route
        assert route is not None
        try:
            if trial.fault == "timeout":
                self._break(route, "stall")
            elif trial.fault in BREAKS:
                self._break(route, trial.fault)  # type: ignore[arg-type]
            elif trial.fault == "cancel":
                route.source.qmp.execute("migrate_cancel", timeout=ASK_SECONDS)
            else:
                self._signal(route)
            self.struck_at = self.struck_at or time.monotonic()
        except (RamferryError, psutil.Error, LookupError) as error:
            self.trouble = f"{type(error).__name__}: {error}"

    def _break(self, route: Route, fault: Fault) -> None:
        trial = self._trial
        channel = "" if trial.target == "qmp" else trial.target
        blow = Blow(
            fault,
            channel,
            trial.way,  # type: ignore[arg-type]
            trial.seconds,
            skip=trial.skip,
            seed=trial.number,
        )
        self.struck_at = time.monotonic()
        route.proxies[trial.place].strike(blow, lasting=trial.lasting)

    def _signal(self, route: Route) -> None:
        number = signal.Signals[self._trial.fault.upper()]
        process = self.process(route)
        if self._trial.target == "migrate" and number in SIGNALS:
            _until_born(process)
        self.struck_at = time.monotonic()
        process.send_signal(number)
        if number is signal.SIGSTOP:
            self._later(self._trial.seconds, lambda: _go_on(process))

    def process(self, route: Route) -> psutil.Process:
        """Whom the signal is for.

        :raise LookupError: it does not run yet, or never will.
        """
        target = self._trial.target
        if target in ("source", "destination"):
            peer: Peer = getattr(route, target)
            return psutil.Process(peer.pid)
        process = route.process(target)
        if process is None:
            raise LookupError(f"no {target}")
        return process


def _until_born(process: psutil.Process) -> None:
    """Wait until a command heeds signals, for so long as a busy host may take for its first line:
    before that it is Python alone, which a signal ends without a sentence."""
    deadline = time.monotonic() + BORN_SECONDS
    while not _heeds_signals(process.pid) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _heeds_signals(pid: int) -> bool:
    """Whether each of a command's signals has a handler, or is ignored; Python has one for SIGINT
    by itself."""
    with suppress(OSError):  # it has ended
        words = Path(f"/proc/{pid}/status").read_text().split()
        caught, ignored = (int(words[words.index(name) + 1], 16) for name in ("SigCgt:", "SigIgn:"))
        return all((caught | ignored) >> (number - 1) & 1 for number in SIGNALS)
    return False


def _go_on(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        os.kill(process.pid, signal.SIGCONT)


class Follower:
    """Asks the source's monitor how far it is; a context manager that does so."""

    def __init__(self, source: Peer, phases: Phases, *, alone: bool) -> None:
        """:param alone: no proxy sees the stream, so that all phases are told from here."""
        self.status = ""
        """The migration's, as last seen."""
        self._source = source
        self._phases = phases
        self._alone = alone
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join()

    @property
    def ended(self) -> bool:
        """Whether the source's migration has ended, or its process."""
        return self.status in ENDED or not self._source.alive

    def _follow(self) -> None:
        while not self._end.wait(POLL_SECONDS) and self._source.alive:
            with suppress(RamferryError):
                self._look()

    def _look(self) -> None:
        info = self._source.qmp.execute("query-migrate", timeout=ASK_SECONDS)
        self.status = str(info.get("status", "none"))
        ram = info.get("ram", {})
        if self.status == "active" and ram.get("dirty-sync-count", 0) >= LATER:
            self._phases.reach("later")
        if not self._alone:
            return
        if self.status != "none":
            self._phases.reach("setup")
        if ram.get("transferred", 0) > ROUND_BYTES:
            self._phases.reach("round")
        if self.status == "completed":
            self._phases.reach("after")
        elif self.status not in ENDED:
            state = self._source.qmp.execute("query-status", timeout=ASK_SECONDS)["status"]
            if state == "finish-migrate" or self.status == "device":
                self._phases.reach("switchover")
