"""Relays that choose each packet's method, or the level of one, between real QEMUs: the memory
arrives, and what was chosen fits the link and the pages."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from migrating import (
    MIB,
    Pair,
    assert_guest_goes_on,
    assert_same_ram,
    listen,
    migrate,
    start_guest,
    two_qemus,
    wait_arrived,
)
from relaying import Route, carry

from fakes_relay import RelayThread
from ramferry.bench import boot_sector
from ramferry.bench.fill import fill
from ramferry.bench.qemu import Qemu
from ramferry.flows.choosing.chooser import Chooser
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayResult
from ramferry.metrics.choosing import Choosing
from ramferry.policy.candidates import levels_of
from ramferry.policy.measurements import Candidate, PageClass
from ramferry.transport.address import parse_address

pytestmark = pytest.mark.interop

PAIRS = ("stock", "10.0", "stock-10.0")
CHANNELS = 4
THIN = Route(("none", "auto", "none"), "relay", max_bandwidth=31_250_000)
"""250 Mbit/s."""
FREE = Route(("none", "auto", "none"), "relay")
ONE_METHOD = ("zstd", "zlib")
"""Of which both QEMUs have the decoder."""


def chosen(results: list[RelayResult]) -> Choosing:
    """What was chosen, after a look at whether both ends say the same of it."""
    near, far = results
    assert (near.error, far.error) == ("", "")
    assert near.choosing is not None
    assert sum(near.choosing.page_bytes.values()) == near.counters.normal_bytes
    sent = {name for name, size in near.choosing.wire_bytes.items() if size}
    assert sent <= set(far.method_in.split(", "))
    assert near.counters.bytes_out == far.counters.bytes_in
    assert near.choosing.timeline
    return near.choosing


@pytest.mark.parametrize("pair", PAIRS, indirect=True)
def test_a_thin_link_is_compressed_for(pair: Pair) -> None:
    with two_qemus(pair, 96 * MIB) as (source, destination):
        fill(source.ram)
        results = carry(source, destination, THIN, CHANNELS)
        assert_same_ram(source, destination)
        told = chosen(results)
    assert results[0].counters.ratio > 1.5, told
    assert told.timeline[-1].link_known
    assert told.timeline[-1].link <= THIN.max_bandwidth


@pytest.mark.parametrize("pair", PAIRS, indirect=True)
def test_without_a_limit_the_memory_is_the_same(pair: Pair) -> None:
    with two_qemus(pair, 96 * MIB) as (source, destination):
        fill(source.ram)
        results = carry(source, destination, FREE, CHANNELS)
        assert_same_ram(source, destination)
        chosen(results)


@pytest.mark.parametrize("pair", PAIRS, indirect=True)
def test_random_pages_go_as_they_are(pair: Pair) -> None:
    with two_qemus(pair, 48 * MIB) as (source, destination):
        chance = np.random.default_rng(5)
        source.ram[:] = chance.integers(0, 256, len(source.ram), np.uint8)
        results = carry(source, destination, THIN, CHANNELS)
        assert_same_ram(source, destination)
        told = chosen(results)
    assert told.wire_bytes["none"] >= 0.99 * sum(told.wire_bytes.values())


@pytest.mark.parametrize("pair", PAIRS, indirect=True)
def test_a_guest_at_work_arrives_whole(pair: Pair) -> None:
    memory = 48 * MIB
    boot = boot_sector.boot_sector(memory, rate=30)
    with two_qemus(pair, memory, boot=boot) as (source, destination):
        start_guest(source)
        results = carry(source, destination, FREE, CHANNELS)
        verdict = boot_sector.verify(destination.ram)
        assert verdict.ok, verdict
        assert_same_ram(source, destination)
        chosen(results)
        assert_guest_goes_on(destination)


def one_level_after_another(
    source: Qemu, destination: Qemu, route: Route, method: str
) -> RelayResult:
    """A relay beside the source moves the level, and the QEMU at the destination inflates it."""
    (result,) = carry(source, destination, route, CHANNELS)
    assert (result.method_out, result.level, result.error) == (method, None, "")
    assert result.choosing is not None
    assert sum(result.choosing.page_bytes.values()) == result.counters.normal_bytes
    assert {name for name, size in result.choosing.wire_bytes.items() if size} == {method}
    assert {one.far_cores for one in result.choosing.timeline} == {0.0}
    return result


@pytest.mark.parametrize("method", ONE_METHOD)
@pytest.mark.parametrize("pair", PAIRS, indirect=True)
def test_a_level_moves_towards_a_qemu(pair: Pair, method: str) -> None:
    route = Route(("none", method), max_bandwidth=31_250_000, auto_level=True)
    with two_qemus(pair, 96 * MIB) as (source, destination):
        fill(source.ram)
        result = one_level_after_another(source, destination, route, method)
        assert_same_ram(source, destination)
    assert result.choosing is not None
    assert len(result.choosing.page_bytes) >= 2
    assert result.counters.ratio > 1.5, result.choosing
    assert result.choosing.timeline[-1].link_known


class Turns:
    """Has each level of a method chosen in turn, and what is stored as well."""

    def __init__(self, method: str) -> None:
        self._levels = [one for one in levels_of(method, device=False) if one.level <= 9]
        self._turn = itertools.count()

    def __getitem__(self, _: PageClass) -> Candidate:
        return self._levels[next(self._turn) * 7 % len(self._levels)]


@pytest.mark.parametrize("method", ONE_METHOD)
@pytest.mark.parametrize("pair", PAIRS, indirect=True)
def test_a_qemu_reads_another_level_in_each_packet(
    pair: Pair, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Chooser, "methods", Turns(method))
    monkeypatch.setattr(Chooser, "look", lambda _: None)
    with two_qemus(pair, 96 * MIB) as (source, destination):
        fill(source.ram)
        incoming = parse_address(listen(destination, method, CHANNELS))
        at = parse_address(f"unix:{source.folder}/relay")
        with RelayThread(RelaySettings(at, incoming, method, auto_level=True)) as relay:
            migrate(source, str(relay.address), "none", CHANNELS, 40)
            wait_arrived(destination)
            result = relay.finished()
        assert_same_ram(source, destination)
    assert result.choosing is not None
    given = {name for name, size in result.choosing.page_bytes.items() if size > MIB}
    assert given == {str(one) for one in levels_of(method, device=False) if one.level <= 9}


@pytest.mark.parametrize("method", ONE_METHOD)
@pytest.mark.parametrize("pair", PAIRS, indirect=True)
def test_a_qemu_reads_what_is_stored(pair: Pair, method: str) -> None:
    route = Route(("none", method), auto_level=True)
    with two_qemus(pair, 48 * MIB) as (source, destination):
        chance = np.random.default_rng(5)
        source.ram[: 24 * MIB] = chance.integers(0, 256, 24 * MIB, np.uint8)
        fill(source.ram[24 * MIB :])
        result = one_level_after_another(source, destination, route, method)
        assert_same_ram(source, destination)
    assert result.choosing is not None
    assert result.choosing.page_bytes["none"] >= 20 * MIB


@pytest.mark.parametrize("method", ONE_METHOD)
@pytest.mark.parametrize("pair", PAIRS, indirect=True)
def test_a_guest_at_work_arrives_whole_whatever_its_level(pair: Pair, method: str) -> None:
    memory = 48 * MIB
    boot = boot_sector.boot_sector(memory, rate=30)
    route = Route(("none", method), auto_level=True)
    with two_qemus(pair, memory, boot=boot) as (source, destination):
        start_guest(source)
        one_level_after_another(source, destination, route, method)
        verdict = boot_sector.verify(destination.ram)
        assert verdict.ok, verdict
        assert_same_ram(source, destination)
        assert_guest_goes_on(destination)
