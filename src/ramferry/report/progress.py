"""The live view of a running migration: redrawn on a terminal; elsewhere a line now and then."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ramferry.forecast.eta import WINDOW_SECONDS, MigrationSample, Outlook, outlook_of
from ramferry.units import duration, memory, rate

LINE_SECONDS = 5.0
"""Seconds between two lines if the output is no terminal."""

BAR_WIDTH = 40


class Progress:
    """A context manager. At its end the display disappears from the screen."""

    def __init__(self, console: Console, downtime_limit_ms: int) -> None:
        """
        :param console: where to draw; it should be on standard error.
        """
        self._console = console
        self._limit = downtime_limit_ms
        self._title = ""
        self._samples: list[MigrationSample] = []
        self._next_line = 0.0
        self._live: Live | None = None

    def begin(self, title: str) -> None:
        """Begin another migration, whose name ``title`` stands above the bar."""
        self._title = title
        self._samples.clear()
        self._next_line = 0.0

    def show(self, sample: MigrationSample) -> None:
        """Draw the newest sample."""
        self._samples.append(sample)
        if sample.seconds - self._samples[0].seconds > 2 * WINDOW_SECONDS:
            del self._samples[0]
        outlook = outlook_of(self._samples, self._limit)
        if self._live is not None:
            self._live.update(picture(self._title, sample, outlook), refresh=True)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self._console.print(line(sample, outlook), soft_wrap=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def picture(title: str, sample: MigrationSample, outlook: Outlook) -> Group:
    """Four lines for a terminal: the title, the bar, the rates and the time left; a fifth one where
    methods are chosen. What does not fit is cut off, since a line that folds makes the picture
    jump."""
    head = _unfolded(title, "bold").append(f"  {stage(sample)}", "not bold")
    if not sample.total_bytes:
        return Group(head)
    bar = Table.grid(padding=(0, 1, 0, 0))
    bar.add_column(no_wrap=True)
    bar.add_column(no_wrap=True, overflow="ellipsis")
    done = max(0, sample.total_bytes - sample.remaining_bytes)
    bar.add_row(
        ProgressBar(total=sample.total_bytes, completed=done, width=BAR_WIDTH),
        Text(f"{memory(sample.remaining_bytes)} of {memory(sample.total_bytes)} left"),
    )
    style = "" if outlook.converges else "yellow"
    rates = _unfolded(" · ".join(figures(sample, outlook)))
    choice = [_unfolded(sample.choice)] if sample.choice else []
    return Group(head, bar, rates, *choice, _unfolded(eta(sample, outlook), style))


def _unfolded(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def line(sample: MigrationSample, outlook: Outlook) -> str:
    """The same figures on one line, for a log."""
    if not sample.total_bytes:
        return stage(sample)
    parts = [stage(sample), f"{memory(sample.remaining_bytes)} left"]
    choice = [sample.choice] if sample.choice else []
    return ", ".join([*parts, *figures(sample, outlook), *choice, eta(sample, outlook)])


def stage(sample: MigrationSample) -> str:
    """The iteration, or QEMU's word for what it does."""
    if sample.status in ("active", "none"):
        return f"iteration {sample.dirty_sync_count}"
    return sample.status


def figures(sample: MigrationSample, outlook: Outlook) -> list[str]:
    """Rates, ratio and the downtime to expect, as far as they are known."""
    known = []
    if outlook.wire_rate is not None:
        known.append(f"{rate(outlook.wire_rate)} on the wire")
    known.append(f"{rate(outlook.memory_rate)} of guest memory")
    if outlook.ratio:  # 0 before the first page
        known.append(f"ratio {outlook.ratio:.2f}")
    if sample.expected_downtime_ms is not None:
        known.append(f"downtime {sample.expected_downtime_ms} ms")
    if sample.downtime_limit_ms is not None:
        known.append(f"limit {sample.downtime_limit_ms} ms")
    if sample.throttle_percent > 1:
        known.append(f"guest slowed by {sample.throttle_percent} %")
    return known


def eta(sample: MigrationSample, outlook: Outlook) -> str:
    """The time left, or why it is not known."""
    if not outlook.converges:
        return (
            f"does not converge: dirties {rate(sample.dirty_rate)},"
            f" link carries {rate(outlook.memory_rate)} of guest memory"
        )
    if outlook.seconds_left is None:
        return "no memory moves" if sample.carried_bytes else "waiting for the first pages"
    if outlook.seconds_left < 1:
        return "under 1 s left"
    return f"about {duration(outlook.seconds_left)} left"
