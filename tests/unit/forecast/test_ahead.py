"""Which trials are made before a migration by two QEMUs alone, and what is said of the choice."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from ramferry import allowance
from ramferry.forecast import ahead
from ramferry.forecast.ahead import Ladders, foresee, reason
from ramferry.forecast.choice import pick
from ramferry.forecast.costs import REFERENCE
from ramferry.forecast.estimate import Conditions, estimate
from ramferry.forecast.sampling import MemorySample, draw
from ramferry.metrics.forecast import UNTOUCHED, MethodTime, Range, Trial
from ramferry.vocabulary import GIB

MB = 1e6
SLOW_LINK = Conditions(link_rate=5 * MB, cores=1000)
NO_LIMIT = Conditions(link_rate=0, cores=1000)

ALL: Ladders = {"none": (None,), "zstd": (1, 3, 6), "zlib": (1, 2), "qatzip": (None,)}
OLD: Ladders = {"none": (None,), "zlib": (1, 2)}


def memory(packets: int = 32) -> MemorySample:
    """Each packet's pages hold its number."""
    ram = np.repeat(np.arange(1, packets + 1, dtype=np.uint8), 512 * 1024)
    return draw("qmp:x", ram.nbytes, lambda at, size: ram[at : at + size].tobytes())


@dataclass
class Host:
    """A host that makes what it is asked of each trial, and a clock that each trial moves on."""

    tried: list[tuple[str, int | None]]
    now: float = 0.0
    takes: float = 0.0
    device: bool = False
    others: float = 0.0
    numbers: tuple[int, ...] = ()
    quota: float = 0.0
    busy: int = 0
    """Cores that a trial kept at work."""

    def try_method(
        self, sample: MemorySample, method: str, level: int | None, *, cores: int = 0, **_: object
    ) -> Trial:
        self.busy = cores
        self.tried.append((method, level))
        self.now += self.takes
        self.numbers = tuple(int(page[0]) for page in sample.content[::128])
        share, cost = 1 / (3 + (level or 0) / 10), (level or 1) / (500 * MB)
        exact, speed = Range(share, share, share), Range(cost, cost, cost)
        return Trial(method, level, method, 16, exact, speed, speed, cost, cost)

    def try_codecs(
        self,
        sample: MemorySample,
        method: str,
        level: int,
        codecs: Callable[[], tuple[Any, Any]],
        _: int,
    ) -> Trial:
        assert codecs()[0].backend == "zlib"
        return self.try_method(sample, method, level)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host([])
    monkeypatch.setattr(ahead, "try_method", host.try_method)
    monkeypatch.setattr(ahead, "try_codecs", host.try_codecs)
    monkeypatch.setattr(ahead.time, "monotonic", lambda: host.now)
    monkeypatch.setattr(ahead, "host_costs", lambda: REFERENCE)
    monkeypatch.setattr(ahead, "_by_device", lambda _: host.device)
    monkeypatch.setattr(ahead.OtherLoad, "cores", lambda _: host.others)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(1000))
    monkeypatch.setattr(allowance, "quota", lambda _: host.quota)
    return host


def foreseen(
    ladders: Ladders, conditions: Conditions, sample: MemorySample | None = None
) -> list[MethodTime]:
    return foresee(
        memory() if sample is None else sample, ladders, conditions, "auto", lambda _: None
    )


@pytest.mark.parametrize(
    ("ladders", "conditions", "takes", "device", "tried"),
    [
        pytest.param(
            ALL, SLOW_LINK, 0.1, False, [("zstd", 1), ("zstd", 3), ("zstd", 6)], id="a slow link"
        ),
        pytest.param(ALL, NO_LIMIT, 0.1, False, [("zstd", 1)], id="no higher than the link asks"),
        pytest.param(ALL, SLOW_LINK, 0.3, False, [("zstd", 1), ("zstd", 3)], id="time is up"),
        pytest.param(
            ALL, NO_LIMIT, 0.1, True, [("zstd", 1), ("qatzip", None)], id="a device for qatzip"
        ),
        pytest.param(OLD, SLOW_LINK, 0.1, False, [("zlib", 1), ("zlib", 2)], id="no zstd"),
    ],
)
def test_what_is_tried(
    here: Host,
    ladders: Ladders,
    conditions: Conditions,
    takes: float,
    device: bool,
    tried: list[tuple[str, int | None]],
) -> None:
    here.takes, here.device = takes, device
    methods = foreseen(ladders, conditions)
    assert here.tried == tried
    assert [(one.method, one.level) for one in methods] == [("none", None), *tried]


@pytest.mark.usefixtures("here")
def test_times_are_those_of_qemus_without_relays() -> None:
    none = foreseen(ALL, NO_LIMIT)[0]
    assert none.send_cpu_seconds == pytest.approx(16 * 2**20 * REFERENCE.qemu_send)


def test_few_packets_are_tried_from_all_over_the_sample(here: Host) -> None:
    foreseen(ALL, NO_LIMIT)
    assert here.numbers == tuple(range(1, 33, 2))
    foreseen(ALL, NO_LIMIT, memory(3))
    assert here.numbers == (1, 2, 3)


def test_nothing_is_tried_on_zeros(here: Host) -> None:
    zeros = draw("qmp:x", 1 << 20, lambda _, size: bytes(size))
    assert [one.method for one in foreseen(ALL, SLOW_LINK, zeros)] == ["none"]
    assert not here.tried


@pytest.mark.parametrize(
    ("others", "cores", "left"), [(0.0, 0.5, 0.5), (999.0, 1000, 1.0), (1000.0, 1000, 0.1)]
)
def test_cores_that_others_use_are_not_reckoned_with(
    here: Host, others: float, cores: float, left: float
) -> None:
    here.others = others
    none = foreseen(ALL, Conditions(link_rate=0, cores=cores))[0]
    alone = REFERENCE.without_relays()
    expected = Conditions(link_rate=0, cores=left, costs=alone)
    assert none == estimate(UNTOUCHED, memory().summary, expected)


def test_what_others_use_is_not_taken_from_a_quota(here: Host) -> None:
    here.others, here.quota = 900.0, 2.5
    methods = foreseen(ALL, Conditions(link_rate=0, cores=2.5))
    expected = Conditions(link_rate=0, cores=2.5, costs=REFERENCE.without_relays())
    assert methods[0] == estimate(UNTOUCHED, memory().summary, expected)


@pytest.mark.parametrize(
    ("quota", "cores", "busy"), [(0.0, 3.5, 3), (0.0, 0.5, 1), (2.5, 64, 2), (0.5, 64, 1)]
)
def test_trials_keep_no_more_cores_at_work_than_this_process_may(
    here: Host, quota: float, cores: float, busy: int
) -> None:
    here.quota = quota
    foreseen(ALL, Conditions(link_rate=0, cores=cores))
    assert here.busy == busy


def said(link_rate: float, *trials: Trial, size: int = GIB) -> str:
    summary = replace(memory(1).summary, total_bytes=size)
    conditions = Conditions(link_rate, 1000, costs=REFERENCE.without_relays())
    methods = [estimate(one, summary, conditions) for one in (UNTOUCHED, *trials)]
    return reason(pick(methods), methods, link_rate)


ZSTD = Trial(
    "zstd", 3, "zstd", 16, Range(0.25, 0.25, 0.25), *(Range(1e-9, 1e-9, 1e-9),) * 2, 1e-9, 1e-9
)


@pytest.mark.parametrize(
    ("link_rate", "trials", "sentence"),
    [
        (
            20 * MB,
            (ZSTD,),
            "zstd 3 chosen by forecast: about 14 s over 20 MB/s for an idle guest (none 54 s)",
        ),
        (
            0.0,
            (ZSTD,),
            "none chosen by forecast: about 0.1 s over a link that does not limit for an idle guest"
            " (zstd 3 0.2 s)",
        ),
        (
            2 * MB,
            (),
            "none chosen by forecast: about 8 min 58 s over 2.0 MB/s for an idle guest",
        ),
    ],
)
def test_the_choice_is_said_beside_another(
    link_rate: float, trials: tuple[Trial, ...], sentence: str
) -> None:
    assert said(link_rate, *trials) == sentence
