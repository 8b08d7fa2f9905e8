"""``ramferry plan time``'s course: draw a sample, try each method on it, ask for the dirty rate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ramferry.allowance import whole_cores
from ramferry.control.hosts.host import HERE, members_for
from ramferry.control.link.near import probe_link
from ramferry.control.plan.guests import guest_at
from ramferry.errors import Cancelled
from ramferry.forecast.calibration import host_costs
from ramferry.forecast.choice import choose
from ramferry.forecast.estimate import Conditions, estimate
from ramferry.forecast.other_load import OtherLoad
from ramferry.forecast.sampling import SAMPLE, MemorySample, Read, draw
from ramferry.forecast.trial import try_method
from ramferry.metrics.forecast import NOTABLE_LOAD, MethodTime, TimePlan, Trial
from ramferry.transport.address import TcpAddress
from ramferry.vocabulary import AUTO, PACKET_BYTES, PAGE_SIZE

SAMPLED_PAGES: Final = 4096
"""Pages of each GiB that ``calc-dirty-rate`` looks at: eight times QEMU's default, for the sake of
small guests. It measured 49 to 54 MB/s for a guest of 64 MiB that wrote 50 MB/s."""

DIRTY_SPARE: Final = 10.0
"""Seconds that the measurement may take longer than it was asked to."""

LITTLE: Final = 16
"""If the sample has fewer packets of 512 KiB than this, its speeds and ratios are rough."""

Attempt = tuple[str, int | None]
"""A method and a level; None is the method's default level."""

PLAIN: Final[Attempt] = ("none", None)


@dataclass(frozen=True, slots=True)
class TimeQuestion:
    """What is to be forecast."""

    guest: str
    """A QMP address, a libvirt domain's, or the name of a file with a guest's RAM."""
    conditions: Conditions
    methods: tuple[Attempt, ...]
    probe: TcpAddress | None = None
    """Where a probe of the link waits; None to use the link rate of ``conditions``."""
    dirty_from: str = "given"
    """Where the dirty rate comes from: "given", "measured", or "assumed" if no option named it."""
    measure_dirty: int = 0
    """Seconds for which the dirty rate is measured; 0 to use the dirty rate of ``conditions``."""
    size: int = SAMPLE
    scratch: Path | None = None
    page_size: int = PAGE_SIZE
    accelerator: str = AUTO


@dataclass(frozen=True, slots=True)
class Findings:
    """What was measured of a guest and this host."""

    sample: MemorySample
    conditions: Conditions
    trials: Mapping[Attempt, Trial]
    """In the order of the question, ``none`` first; ``none`` alone if all pages are zero."""
    notes: tuple[str, ...]
    """Sentences about the sample and the host."""
    of_guest: tuple[str, ...]
    """Sentences about the guest, for the person who will move it."""


def plan_time(
    question: TimeQuestion, begun: Callable[[str], None], stop: threading.Event
) -> TimePlan:
    """Forecast a migration. The guest runs on meanwhile.

    :param begun: called with a few words about each step that begins.
    :param stop: set it to end the work.
    :raise RamferryError: one of its classes, in one sentence.
    """
    question, probed = _probed(question, begun, stop)
    found = look(question, begun, stop)
    conditions = found.conditions
    methods = [estimate(one, found.sample.summary, conditions) for one in found.trials.values()]
    zeros = found.sample.summary.zero_share.expected
    choice, reason = choose(methods, conditions.dirty_rate, zeros)
    return TimePlan(
        sample=found.sample.summary,
        link_rate=conditions.link_rate,
        link_from="probed" if probed else "--link",
        cores=conditions.cores,
        one_host=conditions.one_host,
        channels=conditions.channels,
        dirty_rate=conditions.dirty_rate,
        dirty_from=question.dirty_from,
        downtime_limit_ms=conditions.downtime_limit_ms,
        methods=tuple(methods),
        choice=choice,
        reason=reason,
        notes=(*probed, *found.of_guest, *found.notes, *stands_on(conditions, methods)),
    )


def _probed(
    question: TimeQuestion, begun: Callable[[str], None], stop: threading.Event
) -> tuple[TimeQuestion, tuple[str, ...]]:
    """The question with the link rate that a probe measured, if one was asked for, and a sentence
    about it."""
    if question.probe is None:
        return question, ()
    begun(f"probing the link to {question.probe}")
    figures = probe_link(question.probe, question.conditions.channels, stop)
    conditions = replace(question.conditions, link_rate=figures.rate)
    return replace(question, conditions=conditions), (str(figures),)


def look(question: TimeQuestion, begun: Callable[[str], None], stop: threading.Event) -> Findings:
    """Draw a sample, try the methods on it, and measure this host; parameters as for
    ``plan_time``."""

    def heed(what: str) -> None:
        if stop.is_set():
            raise Cancelled("interrupted; the guest was not touched")
        if what:
            begun(what)

    measures = bool(question.measure_dirty)
    with guest_at(question.guest, question.scratch, measures=measures) as guest:
        sample = _drawn(question, guest.total, guest.read, heed)
        conditions = question.conditions
        if guest.waits_busy is not None:
            conditions = replace(conditions, waits_busy=guest.waits_busy)
        if question.measure_dirty:
            heed(f"measuring the dirty rate for {question.measure_dirty} s")
            rate = guest.dirty_rate(question.measure_dirty, lambda: heed(""))
            conditions = replace(conditions, dirty_rate=rate)
    trials, meter = {}, OtherLoad()
    for method, level in _worthwhile(question.methods, sample):
        heed(f"trying {method}" if level is None else f"trying {method} {level}")
        used, cores = _used(question, method), whole_cores(conditions.cores)
        trials[method, level] = try_method(sample, method, level, **used, cores=cores)
    conditions = replace(conditions, costs=host_costs())
    notes = (*_of_sample(sample), *_busy(meter.cores()))
    return Findings(sample, conditions, trials, notes, guest.notes)


def _used(question: TimeQuestion, method: str) -> dict[str, str]:
    """The accelerator and the member size of the source's relay, as ``migrate`` tells it."""
    members, inflates = AUTO, HERE if question.conditions.one_host else None
    if method == "qatzip":
        members = members_for(inflates, question.accelerator)
    return {"accelerator": question.accelerator, "member_size": members}


def _drawn(
    question: TimeQuestion, total: int, read: Read, heed: Callable[[str], None]
) -> MemorySample:
    def piece(at: int, size: int) -> bytes:
        heed("")
        return read(at, size)

    heed("drawing a sample")
    return draw(
        question.guest,
        total,
        piece,
        size=question.size,
        page_size=question.page_size,
    )


def _worthwhile(wanted: Sequence[Attempt], sample: MemorySample) -> list[Attempt]:
    """The methods to try: ``none`` first, as the others are compared with it; it alone if all pages
    are zero."""
    rest = [one for one in wanted if one != PLAIN]
    return [PLAIN, *rest] if len(sample.content) else [PLAIN]


def _of_sample(sample: MemorySample) -> Iterator[str]:
    packets = sample.content.nbytes / PACKET_BYTES
    if not packets:
        yield "the sample holds nothing but zeros: there is nothing to compress"
    elif packets < LITTLE:
        yield (
            f"only {sample.content.nbytes >> 10} KiB of content in the sample: ratios and speeds"
            " are rough"
        )


def _busy(cores: float) -> Iterator[str]:
    if cores >= NOTABLE_LOAD:
        yield (
            f"others use {cores:.1f} cores here now; these times assume that all --cores are free:"
            " give --cores fewer"
        )


def stands_on(conditions: Conditions, methods: Sequence[MethodTime]) -> Iterator[str]:
    """A sentence about how many cores the times assume, if the cores limit the rate."""
    if any(one.limited_by != "link" for one in methods):
        yield (
            "where the link does not limit, times count on what QEMUs and relays spend besides"
            " compressing; that was measured on another host, an AMD EPYC with Linux 6.18, and"
            f" counts {conditions.costs.factor:.2f} times here, by what sockets take on this host"
        )
