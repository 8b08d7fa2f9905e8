"""What ``ramferry bench links`` runs: a scenario for each rate, all with the same contenders. Pure.

Times are compared within one rate only, where all contenders run in turn, so that each rate may
have a guest of its own size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ramferry.bench.change import Change
from ramferry.bench.scenario import (
    DATA,
    IDLE,
    LEAST_MEMORY,
    LEAST_RATE,
    QEMU,
    Case,
    Guest,
    Scenario,
)
from ramferry.bench.shapes import CONTENT, LINK, LOAD
from ramferry.codec import find_method
from ramferry.errors import UsageError
from ramferry.report.benchmark.comparison import BUILT_IN
from ramferry.units import bit_rate
from ramferry.vocabulary import AUTO, RELAY_PAIR

GBIT: Final = 125e6
RATES: Final = tuple(one * GBIT for one in (0.1, 0.25, 0.5, 1, 2.5, 5, 10))
CHANGING_RATES: Final = (GBIT,)
"""Where something changes, unless rates are named."""

SECONDS: Final = 16.0
"""How long a guest that is full of data shall take uncompressed."""
MOST_MEMORY: Final = 16 << 30
EXPECTED_RATIO: Final = 3.0
"""Of the pages of real guests, roughly: for when to change something."""

PART: Final = 1 / 3
"""Share of the guest that is to move before a change, and again during it, each at the rate that a
guest has then which compresses by ``EXPECTED_RATIO``."""
LOW_RATE: Final = 0.2
"""Share of its rate that a link has left while it is changed."""
LEAST_BEGIN: Final = 0.5
"""Seconds after which a change begins at the earliest: a migration is looked at every 0.2 s."""
TIMEOUT: Final = 900.0
DOWNTIME_LIMIT_MS: Final = 300

Choice = tuple[str, int | None]
"""A method and its level."""

_WINDOWS: Final[tuple[tuple[float, tuple[int, ...], tuple[int, ...]], ...]] = (
    (10e6, (6, 9, 12, 15), (1, 6, 9)),
    (20e6, (3, 6, 9, 12), (1, 6, 9)),
    (45e6, (1, 3, 6, 9), (1, 4, 6)),
    (100e6, (1, 3, 6), (1, 4)),
    (math.inf, (1, 3), (1,)),
)
"""Below so many bytes a second of link for each core: levels of zstd and of qatzip around the
fastest. On 2 cores of an AMD EPYC guest, with pages that compress 3.5 to 1, zstd 9 keeps a link of
100 Mbit/s busy, 6 one of 250, 3 one of 1000."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to be compared, with the command's defaults."""

    rates: tuple[float, ...] | None = None
    """Bytes a second; None: ``RATES``, or ``CHANGING_RATES`` if something changes."""
    fixed: tuple[Choice, ...] | None = None
    """Choices of the relay pair beside none and auto; None: some for each rate."""
    built_in: tuple[Choice, ...] | None = None
    """QEMU's own; None: none, and zstd at the same levels."""
    memory: int | None = None
    """Bytes of the guest's RAM; None: by the rate."""
    channels: int = 8
    repeats: int = 3
    change: str | None = None
    """One of ``shapes.CHANGES``."""
    change_at: tuple[float, ...] = ()
    """Seconds when it begins and, if there is a second one, ends; empty: by the expected time."""
    change_rate: float | None = None
    """Bytes a second of the link meanwhile; None: ``LOW_RATE`` of its rate."""
    random_share: float | None = None
    """Share of the guest that random bytes fill; None: half if the content changes, else none."""


def plan(asked: Asked, cores: int) -> tuple[Scenario, ...]:
    """A scenario for each rate, the lowest first.

    :param cores: of this host.
    :raise UsageError: what was asked for does not go together, or is out of range.
    """
    _check(asked)
    rates = asked.rates or (RATES if asked.change is None else CHANGING_RATES)
    return tuple(_scenario(asked, rate, cores) for rate in sorted(set(rates)))


def _check(asked: Asked) -> None:
    if any(rate < LEAST_RATE for rate in asked.rates or ()):
        raise UsageError(f"--rates must be {LEAST_RATE:.0f} bytes a second or more")
    if asked.memory is not None and asked.memory < LEAST_MEMORY:
        raise UsageError(f"--memory must be {LEAST_MEMORY >> 20}M or more")
    if asked.change not in (LINK, LOAD) and asked.change_at:
        raise UsageError("--change-at is for --change link and --change load")
    if asked.change != LINK and asked.change_rate is not None:
        raise UsageError("--change-rate is for --change link")
    if asked.change_rate is not None and asked.change_rate < LEAST_RATE:
        raise UsageError(f"--change-rate must be {LEAST_RATE:.0f} bytes a second or more")
    if len(asked.change_at) > 2 or list(asked.change_at) != sorted(set(asked.change_at)):
        raise UsageError("--change-at takes one or two moments in seconds, the earlier one first")


def _scenario(asked: Asked, rate: float, cores: int) -> Scenario:
    size = memory_for(rate) if asked.memory is None else asked.memory
    half = 0.5 if asked.change == CONTENT else 0.0
    change = _change(asked, rate, size, cores)
    guest = Guest(
        QEMU,
        size,
        scalable=asked.memory is None,
        fill=(DATA,),
        dirty_rate=0.0,
        hot=0,
        random_share=half if asked.random_share is None else asked.random_share,
    )
    return Scenario(
        name=f"links-{bit_rate(rate).replace(' ', '').replace('/s', '')}",
        title=f"A link of {bit_rate(rate)}",
        description=f"An {IDLE} guest, by each contender in turn.",
        guest=guest,
        rate=rate,
        cases=_cases(asked, rate, cores, change),
        repeats=asked.repeats,
        downtime_limit_ms=DOWNTIME_LIMIT_MS,
        timeout=TIMEOUT,
        change=change,
    )


def memory_for(rate: float) -> int:
    """RAM, a power of two in bytes, that takes about ``SECONDS`` over a link uncompressed."""
    wanted = min(max(rate * SECONDS, LEAST_MEMORY), MOST_MEMORY)
    return 1 << round(math.log2(wanted))


def _cases(asked: Asked, rate: float, cores: int, change: Change | None) -> tuple[Case, ...]:
    zstd, qatzip = _levels(rate, cores, change)
    levels: tuple[Choice, ...] = tuple(("zstd", level) for level in zstd)
    fixed = asked.fixed
    if fixed is None:
        fixed = (*levels, *(("qatzip", level) for level in qatzip))
    built_in = (("none", None), *levels) if asked.built_in is None else asked.built_in
    pair: list[Choice] = [("none", None), (AUTO, None), *fixed]
    cases = [Case(m, level, asked.channels, RELAY_PAIR) for m, level in pair]
    cases += [Case(m, level, asked.channels, BUILT_IN) for m, level in built_in]
    return tuple(dict.fromkeys(cases))


def _levels(rate: float, cores: int, change: Change | None) -> tuple[list[int], list[int]]:
    """Levels of zstd and of qatzip around the fastest, also around that while something changes."""
    per_core = {rate / cores}
    if change is not None:
        per_core.add((change.rate or rate) / max(1, cores - change.cores))
    windows = [next(one for one in _WINDOWS if each < one[0]) for each in per_core]
    zstd = {level for _, found, _ in windows for level in found}
    qatzip = {level for _, _, found in windows for level in found}
    return sorted(zstd), sorted(qatzip)


def _change(asked: Asked, rate: float, size: int, cores: int) -> Change | None:
    if asked.change not in (LINK, LOAD):
        return None
    part = PART * size / EXPECTED_RATIO / rate
    if asked.change == LINK:
        low = asked.change_rate or rate * LOW_RATE
        return Change(*_moments(asked, part, part * rate / low), rate=low)
    taken = max(1, cores // 2)
    slower = cores / max(1, cores - taken)
    return Change(*_moments(asked, part, part * slower), cores=taken)


def _moments(asked: Asked, before: float, meanwhile: float) -> tuple[float, float | None]:
    """When the change begins and ends, in seconds.

    :param before: expected seconds before it, and ``meanwhile`` those in it.
    """
    if asked.change_at:
        return asked.change_at[0], asked.change_at[1] if len(asked.change_at) > 1 else None
    begin = round(max(LEAST_BEGIN, before), 1)
    return begin, round(begin + max(LEAST_BEGIN, meanwhile), 1)


def choices(text: str, method_names: Sequence[str], whose: str) -> tuple[Choice, ...]:
    """Read "zstd:1,qatzip:9" or, for every level of every method, "all"; empty: no choice.

    :param method_names: the methods that may be named.
    :param whose: the option's name, for the sentence.
    :raise UsageError: a method or level that there is not.
    """
    if text == "all":
        return tuple(one for name in method_names for one in _every(name))
    found = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, colon, level = part.partition(":")
        if name not in method_names or (colon and not level.isdecimal()):
            known = ", ".join(method_names)
            raise UsageError(f"{whose}: {part!r} is no METHOD:LEVEL with a method of {known}")
        method = find_method(name)
        try:
            checked = method.level(int(level) if colon else None)
        except UsageError as error:
            raise UsageError(f"{whose}: {error}") from error
        found.append((name, None if method.levels is None else checked))
    return tuple(found)


def _every(name: str) -> tuple[Choice, ...]:
    levels = find_method(name).levels
    return ((name, None),) if levels is None else tuple((name, one) for one in levels if one)
