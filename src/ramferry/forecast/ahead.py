"""Chooses, before a migration starts, the method and level that two QEMUs carry it by themselves.

A QEMU takes one method and level a migration, and tells nothing that could move them as it goes. So
this is ``ramferry plan time``'s forecast, for QEMUs without relays, in about half a second: the
sample is the same, but fewer of its packets are tried, and no trial begins once time is up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from ramferry.allowance import cpus, whole_cores
from ramferry.codec import Accelerated, create_encoder
from ramferry.forecast.calibration import host_costs
from ramferry.forecast.choice import pick
from ramferry.forecast.estimate import Conditions, estimate
from ramferry.forecast.other_load import OtherLoad
from ramferry.forecast.qemu_zlib import qemu_zlib
from ramferry.forecast.sampling import MemorySample
from ramferry.forecast.trial import try_codecs, try_method
from ramferry.metrics.forecast import UNTOUCHED, MethodTime, Trial
from ramferry.units import duration, rate
from ramferry.vocabulary import PACKET_BYTES

PACKETS: Final = 16
"""Packets of the sample that are tried, 8 MiB: each level of zstd from 1 to 6 takes 0.05 to 0.2 s,
both ways and twice."""

TRIAL_SECONDS: Final = 0.5
"""No trial begins later than this after the first one began."""

LEAST_CORES: Final = 0.1
"""A host whose cores are all busy still gives a migration some of them."""

Ladders = Mapping[str, Sequence[int | None]]
"""The levels that may be taken of each method, lowest first; None is the method's default."""


def foresee(
    sample: MemorySample,
    ladders: Ladders,
    conditions: Conditions,
    accelerator: str,
    heed: Callable[[str], None],
) -> list[MethodTime]:
    """Forecast what two QEMUs can do by themselves; ``none`` is the first.

    A method's higher levels are tried as long as the link limits: beyond that they only take more
    of the cores.

    :param conditions: their costs are replaced by those of this host, and of their cores others may
        use some.
    :param accelerator: as for ``try_method``.
    :param heed: called with a few words about each step that begins.
    """
    meter = OtherLoad()
    heed("measuring this host")
    conditions = replace(conditions, costs=host_costs().without_relays())
    cores = whole_cores(conditions.cores)
    trials, end = [UNTOUCHED], time.monotonic() + TRIAL_SECONDS
    few = _few(sample)
    for method, levels in _worth_trying(ladders, few, accelerator):
        for level in levels:
            if time.monotonic() >= end:
                break
            heed(f"trying {method}" if level is None else f"trying {method} {level}")
            trials.append(_tried(few, method, level, accelerator, cores))
            if estimate(trials[-1], sample.summary, conditions).limited_by != "link":
                break
    # others take of the host's cores, not of what a quota leaves of them
    free = max(LEAST_CORES, min(conditions.cores, len(cpus()) - meter.cores()))
    conditions = replace(conditions, cores=free)
    return [estimate(one, sample.summary, conditions) for one in trials]


def reason(chosen: MethodTime, methods: Sequence[MethodTime], link_rate: float) -> str:
    """Say what was chosen and what it is compared with: ``none``, or for ``none`` the best of the
    others.

    :param chosen: one of ``methods``.
    :param link_rate: bytes a second; 0 is unlimited.
    """
    rest = [one for one in methods if one.method == "none"] if chosen.method != "none" else []
    rest = rest or [one for one in methods if one is not chosen]
    link = rate(link_rate) if link_rate else "a link that does not limit"
    text = (
        f"{_name(chosen)} chosen by forecast: about {_time(chosen)} over {link} for an idle guest"
    )
    return f"{text} ({_name(pick(rest))} {_time(pick(rest))})" if rest else text


def _name(one: MethodTime) -> str:
    return one.method if one.level is None else f"{one.method} {one.level}"


def _time(one: MethodTime) -> str:
    assert one.total_seconds is not None  # an idle guest's always converges
    seconds = one.total_seconds.expected
    return duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"


def _few(sample: MemorySample) -> MemorySample:
    """The sample with at most ``PACKETS`` packets of content, from all over it."""
    pages = PACKET_BYTES // sample.summary.page_size
    packets = len(sample.content) // pages
    if packets <= PACKETS:
        return sample
    starts = [number * packets // PACKETS * pages for number in range(PACKETS)]
    content = [sample.content[start : start + pages] for start in starts]
    return replace(sample, content=np.concatenate(content))


def _worth_trying(
    ladders: Ladders, sample: MemorySample, accelerator: str
) -> Iterator[tuple[str, Sequence[int | None]]]:
    """``zlib`` only where there is no ``zstd``, which is faster and smaller at each of its levels;
    ``qatzip`` only by a device, since what libqatzip spends on the CPU was not measured."""
    if not len(sample.content):
        return
    for method, levels in ladders.items():
        needless = method == "zlib" and "zstd" in ladders
        if method == "none" or needless or (method == "qatzip" and not _by_device(accelerator)):
            continue
        yield method, levels


def _by_device(accelerator: str) -> bool:
    encoder = create_encoder("qatzip", None, accelerator=accelerator)
    return isinstance(encoder, Accelerated) and encoder.accelerated


def _tried(
    sample: MemorySample, method: str, level: int | None, accelerator: str, cores: int
) -> Trial:
    if method == "zlib" and level is not None:
        return try_codecs(sample, method, level, partial(qemu_zlib, level), cores)
    return try_method(sample, method, level, accelerator=accelerator, cores=cores)
