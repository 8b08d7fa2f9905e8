"""The relay between real QEMUs: every method, both directions, 1 to 16 channels, guests at work.

Each pair of QEMUs meets every route, and every route all channel counts over the pairs; the full
product is marked slow.
"""

from __future__ import annotations

import numpy as np
import pytest
from migrating import (
    MIB,
    PAGE,
    Pair,
    assert_guest_goes_on,
    assert_same_ram,
    start_guest,
    two_qemus,
)
from relaying import Route, carry, check_results, normal_pages

from ramferry.bench import boot_sector
from ramferry.bench.fill import Bytes, fill

pytestmark = pytest.mark.interop

PAIRS = ("stock", "10.0", "stock-10.0")
CHANNELS = (1, 2, 8, 16)
ROUTES = (
    Route(("none", "zlib", "none"), "relay"),
    Route(("none", "zstd", "none"), "relay"),
    Route(("none", "qatzip", "none"), "relay"),
    Route(("none", "none", "none"), "relay"),
    Route(("zstd", "zstd", "none"), "relay"),
    Route(("none", "zstd", "zlib"), "relay"),
    Route(("none", "qatzip", "none")),
    Route(("none", "qpl", "none")),
    Route(("none", "uadk", "none")),
    Route(("none", "zlib")),
    Route(("none", "zstd")),
    Route(("zlib", "none")),
    Route(("zstd", "none")),
    Route(("zlib", "zlib")),
    Route(("zstd", "zstd")),
)
BUSY_ROUTES = (
    Route(("none", "qatzip", "none"), "relay"),
    Route(("none", "zstd", "none")),
    Route(("none", "zlib")),
    Route(("zstd", "none")),
)

Case = tuple[str, Route, int]


def diagonal(routes: tuple[Route, ...]) -> list[Case]:
    """Every pair with every route; the channel count moves on from case to case."""
    return [
        (pair, route, CHANNELS[(2 * row + column + row // 2) % len(CHANNELS)])
        for row, pair in enumerate(PAIRS)
        for column, route in enumerate(routes)
    ]


def remainder(routes: tuple[Route, ...]) -> list[Case]:
    """What ``diagonal`` leaves out."""
    chosen = diagonal(routes)
    product = [(pair, route, n) for pair in PAIRS for route in routes for n in CHANNELS]
    return [case for case in product if case not in chosen]


def cases(routes: tuple[Route, ...]) -> pytest.MarkDecorator:
    """Parametrise a test with the diagonal, and with the rest marked slow."""
    params = [(case, ()) for case in diagonal(routes)]
    params += [(case, (pytest.mark.slow,)) for case in remainder(routes)]
    return pytest.mark.parametrize(
        ("pair", "route", "channels"),
        [
            pytest.param(*case, marks=marks, id=f"{case[0]}-{case[1]}-{case[2]}")
            for case, marks in params
        ],
        indirect=["pair"],
    )


@pytest.fixture(scope="module")
def mixed_data() -> Bytes:
    """64 MiB of text, records and zero pages: 128 packets, 8 for each of 16 channels."""
    data = np.zeros(64 * MIB, np.uint8)
    fill(data)
    return data


@cases(ROUTES)
def test_paused_guest(pair: Pair, route: Route, channels: int, mixed_data: Bytes) -> None:
    with two_qemus(pair, len(mixed_data)) as (source, destination):
        source.ram[:] = mixed_data
        results = carry(source, destination, route, channels)
        assert_same_ram(source, destination)
        assert (source.ram == mixed_data).all()
        check_results(results, route, channels)
        assert results[0].counters.normal_pages >= normal_pages(source)


@cases(BUSY_ROUTES)
def test_guest_under_load(pair: Pair, route: Route, channels: int) -> None:
    memory = 48 * MIB
    boot = boot_sector.boot_sector(memory, rate=30)
    with two_qemus(pair, memory, boot=boot) as (source, destination):
        start_guest(source)
        before = boot_sector.state(source.ram)
        results = carry(source, destination, route, channels)
        verdict = boot_sector.verify(destination.ram)
        assert verdict.ok, verdict
        assert verdict.checked == (memory - boot_sector.FIRST) // PAGE
        assert verdict.state.written > before.written
        assert_same_ram(source, destination)
        check_results(results, route, channels)
        assert results[0].counters.rounds >= 3
        assert_guest_goes_on(destination)
