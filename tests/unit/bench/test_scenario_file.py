"""Scenario files: what they may say, and the sentence for everything else."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from ramferry.bench.scenario import Case, labels
from ramferry.bench.scenario_file import find_scenario, parse, shipped
from ramferry.errors import UsageError

LEAST = """
title = "t"
description = "d"
[guest]
memory = "128M"
[[cases]]
methods = ["none"]
routes = ["relay pair"]
"""


def read(text: str) -> object:
    return parse(text.encode(), "own.toml", Path("/folder"))


@pytest.mark.parametrize("name", shipped())
def test_shipped_scenarios_are_whole(name: str) -> None:
    scenario = find_scenario(name)
    assert scenario.name == name
    assert scenario.title
    assert scenario.description
    assert scenario.repeats >= 3
    assert any(case.method == "none" for case in scenario.cases)


def test_the_seed_is_what_qemu_documents() -> None:
    seed = find_scenario("seed")
    assert (seed.guest.memory, seed.rate, seed.guest.workload) == (64 << 30, 1.25e9, "idle")
    assert [(c.method, c.level, c.channels) for c in seed.cases] == [
        ("qatzip", 1, 8),
        ("zstd", 1, 8),
        ("none", None, 8),
    ]
    assert set(shipped()) == {"default", "dirtying", "native", "seed", "thin-link", "tls"}


def test_defaults() -> None:
    scenario = parse(LEAST.encode(), "own.toml", Path())
    guest = scenario.guest
    assert (guest.kind, guest.scalable, guest.fill, guest.workload) == (
        "QEMU",
        False,
        ("data",),
        "idle",
    )
    assert (scenario.name, scenario.rate, scenario.repeats) == ("own", 0.0, 3)
    assert scenario.cases == (Case("none", None, 8, "relay pair"),)


def test_cases_are_a_product() -> None:
    text = LEAST.replace('["none"]', '["zstd", "qatzip"]\nlevels = [1, 3]\nchannels = [2, 8]')
    cases = parse(text.encode(), "own.toml", Path()).cases
    assert len(cases) == 8
    names = labels(cases)
    assert names[0] == "zstd 1 (relay pair, 2 channels)"
    assert len(set(names)) == 8


def test_cases_may_have_tls_or_not() -> None:
    text = LEAST.replace('["none"]', '["none"]\ntls = [false, true]')
    cases = parse(text.encode(), "own.toml", Path()).cases
    assert [case.tls for case in cases] == [False, True]
    assert labels(cases) == ("none (relay pair)", "none (relay pair, TLS)")


def test_the_shipped_scenario_for_tls_has_each_case_in_clear_and_encrypted() -> None:
    cases = find_scenario("tls").cases
    assert {(case.method, case.route, case.tls) for case in cases} == {
        (method, route, tls)
        for method in ("none", "zstd")
        for route in ("QEMU built-in", "relay pair")
        for tls in (False, True)
    }
    assert {case.channels for case in cases} == {8}


def test_files_are_found_from_the_scenarios_folder() -> None:
    text = LEAST.replace('"128M"', '"128M"\nfill = ["a", "/b"]')
    assert parse(text.encode(), "own.toml", Path("/folder")).guest.fill == ("/folder/a", "/b")


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ('title = "t"', "", "own.toml: Object missing required field `title`"),
        ('title = "t"', "title = 1", "own.toml: Expected `str`, got `int` - at `$.title`"),
        (
            'title = "t"',
            'title = "t"\ncolour = 1',
            "own.toml: Object contains unknown field `col",
        ),
        ('"128M"', '"12M"', "own.toml: guest.memory must be 64M or more"),
        ('"128M"', "128", "own.toml: Expected whole MiB of memory"),
        ('"128M"', '"1.5M"', "or \"2G\", got '1.5M' - at `$.guest.memory`"),
        (
            '"128M"',
            '"128M"\nkind = "Xen"',
            "regex '^(QEMU|built-in)$' - at `$.guest.kind`",
        ),
        ('"128M"', '"128M"\nscalable = 1', "Expected `bool`, got `int` - at `$.guest.scalable`"),
        ('"128M"', '"128M"\nhot = "8M"', "guest.hot must be"),
        ('"128M"', '"128M"\ndirty-rate = 5', "or no such key, got 5 - at `$.guest.dirty-rate`"),
        ('"128M"', '"128M"\ndirty-rate = "1M"\nhot = "100M"', "guest.hot must be"),
        ('"128M"', '"128M"\nfill = 3', "Expected `str | array`, got `int` - at `$.guest.fill`"),
        ('"128M"', '"128M"\nfill = "x"', "regex '^(data|generator)$' - at `$.guest.fill`"),
        ('"128M"', '"128M"\nfill = []', "Expected `array` of length >= 1 - at `$.guest.fill`"),
        ('"128M"', '"128M"\nsize = 3', "Object contains unknown field `size` - at `$.guest`"),
        ('["none"]', '["lz4"]', "cases[0].methods: method 'lz4' is not one of"),
        ('["none"]', '"none"', "Expected `array`, got `str` - at `$.cases[0].methods`"),
        ('["none"]', '["none"]\nlevels = [1]', "method none has no levels"),
        (
            '["none"]',
            '["none"]\nchannels = [0]',
            "`int` >= 1 - at `$.cases[0].channels[0]`",
        ),
        (
            '["none"]',
            '["none"]\nchannels = [true]',
            "got `bool` - at `$.cases[0].channels[0]`",
        ),
        ('["none"]', '["none"]\ntls = true', "Expected `array`, got `bool` - at `$.cases[0].tls`"),
        ('["none"]', '["none"]\ntls = ["yes"]', "got `str` - at `$.cases[0].tls[0]`"),
        ('["none"]', '["none"]\ntls = []', "of length >= 1 - at `$.cases[0].tls`"),
        ('["none"]', '["none", "none"]', "cases have none (relay pair) twice"),
        ('["relay pair"]', '["pigeon"]', "cases[0].routes must be of QEMU built-in, relay"),
        ('["relay pair"]', '["nativ"]', "cases[0].routes must be of QEMU built-in, relay"),
        ("[[cases]]", "[cases]", "Expected `array`, got `object` - at `$.cases`"),
        ("[guest]", "repeats = 2\n[guest]", "Expected `int` >= 3 - at `$.repeats`"),
        ("[guest]", "link = 3\n[guest]", "Expected `object`, got `int` - at `$.link`"),
        ("[guest]", '[link]\nrate = "0"\n[guest]', "got '0' - at `$.link.rate`"),
        ("[guest]", "[guest", "own.toml is no TOML"),
    ],
)
def test_refused_with_file_and_key(before: str, after: str, sentence: str) -> None:
    assert before in LEAST
    with pytest.raises(UsageError) as refusal:
        read(LEAST.replace(before, after))
    assert sentence in str(refusal.value)


def test_the_built_in_guest_is_sent_natively() -> None:
    text = LEAST.replace('"128M"', '"128M"\nkind = "built-in"\ndirty-rate = "8M"')
    scenario = parse(text.replace("relay pair", "native").encode(), "own.toml", Path())
    assert scenario.cases[0].route == "native"
    assert "a tenth" in scenario.guest.workload
    with pytest.raises(UsageError, match=r"cases\[0\].tls: the built-in guest has no TLS"):
        read(text.replace('"relay pair"]', '"native"]\ntls = [true]'))
    with pytest.raises(UsageError, match="with a built-in guest"):
        read(text.replace("relay pair", "QEMU built-in"))


def test_a_path_that_is_not_there_and_a_name_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no scenario 'sead': name one of default"):
        find_scenario("sead")
    with pytest.raises(UsageError, match="cannot read"):
        find_scenario(str(tmp_path / "own.toml"))
    (tmp_path / "own.toml").write_text(LEAST)
    assert find_scenario(str(tmp_path / "own.toml")).name == "own"


def test_native_stands_beside_an_idle_guest_of_a_qemu() -> None:
    scenario = find_scenario("native")
    assert {case.route for case in scenario.cases} == {"QEMU built-in", "native"}
    assert scenario.held == 3
    raw = (files("ramferry.bench") / "scenarios" / "native.toml").read_text()
    dirty = raw.replace("scalable = true", 'dirty-rate = "10M"')
    with pytest.raises(UsageError, match="without a dirty-rate only"):
        parse(dirty.encode(), "own.toml", Path())
