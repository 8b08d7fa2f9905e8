"""Scenarios: a guest that fits the machine, labels, and what is asked of the orchestrator."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ramferry.bench.scenario import Case, fitted, with_memory
from ramferry.bench.scenario_file import find_scenario
from ramferry.control.migrate.route import RelayMode
from ramferry.errors import HostError, UsageError

GIB = 1 << 30
SEED = find_scenario("seed")
DIRTYING = find_scenario("dirtying")


@pytest.mark.parametrize(
    ("available", "memory"), [(20 * GIB, 4 * GIB), (16 * GIB, 4 * GIB), (300 << 20, 64 << 20)]
)
def test_a_scalable_guest_takes_half_of_the_free_memory_at_most(
    available: int, memory: int
) -> None:
    scenario, said = fitted(SEED, available)
    assert scenario.guest.memory == memory
    assert "where the scenario says 64.0 GiB" in said


def test_a_guest_beside_another_takes_room() -> None:
    native = find_scenario("native")
    assert fitted(native, 16 * GIB)[0].guest.memory == 2 * GIB
    scenario, said = fitted(native, 8 * GIB)
    assert scenario.guest.memory == GIB
    assert "three guests are held at once" in said
    fixed, _ = with_memory(native, 4 * GIB)
    with pytest.raises(HostError, match=r"a guest of 4.0 GiB is too big for this machine: three"):
        fitted(fixed, 12 * GIB)


def test_what_fits_is_left_alone() -> None:
    assert fitted(SEED, 1024 * GIB) == (SEED, "")


def test_the_memory_that_is_dirtied_shrinks_with_the_guest() -> None:
    scenario, _ = fitted(DIRTYING, GIB)
    assert (scenario.guest.memory, scenario.guest.hot) == (256 << 20, 32 << 20)


def test_too_big_is_a_sentence() -> None:
    with pytest.raises(HostError, match=r"no guest of 64 MiB fits"):
        fitted(SEED, 200 << 20)
    fixed, _ = with_memory(SEED, 8 * GIB)
    with pytest.raises(HostError, match=r"a guest of 8.0 GiB is too big for this machine"):
        fitted(fixed, 16 * GIB)


def test_memory_as_asked() -> None:
    scenario, said = with_memory(DIRTYING, 256 << 20)
    assert (scenario.guest.memory, scenario.guest.hot) == (256 << 20, 32 << 20)
    assert said == "The guest has 256 MiB where the scenario says 1.0 GiB, as asked."
    assert with_memory(DIRTYING, GIB)[1] == ""
    with pytest.raises(UsageError, match="64M or more"):
        with_memory(DIRTYING, 32 << 20)


def test_a_case_becomes_a_wish() -> None:
    case = Case("zstd", 3, 4, "relay pair")
    wish = case.wish()
    assert (wish.method, wish.level, wish.channels, wish.relay) == ("zstd", 3, 4, RelayMode.BOTH)
    for route in ("QEMU built-in", "native"):
        assert replace(case, route=route).wish().relay is RelayMode.NONE


def test_relays_of_a_case_get_certificates_if_it_is_encrypted() -> None:
    clear = Case("zstd", 3, 4, "relay pair")
    encrypted = replace(clear, tls=True)
    asked = [(wish.tls_creds, wish.insecure) for wish in (encrypted.wish("/c"), clear.wish("/c"))]
    assert asked == [("/c", False), ("", True)]
    assert replace(encrypted, route="QEMU built-in").wish("/c").tls_creds == ""
