"""Scenario files: TOML, strictly read, so that a misspelt key is no silent default.

::

    title = "…"                      # for the report
    description = "…"
    repeats = 3                      # at least 3; each case, interleaved      [3]
    downtime-limit = 300             # ms                                      [300]
    timeout = 600                    # seconds of one run                      [600]

    [guest]
    kind = "QEMU"                    # or "built-in"                           ["QEMU"]
    memory = "2G"                    # whole MiB, binary units
    scalable = true                  # a smaller machine may run less          [false]
    fill = "data"                    # RAMFERRY_DATA's files, else generator;  ["data"]
                                     # "generator"; or a list of paths, from the file's folder
    dirty-rate = "80M"               # bytes of pages written a second         [idle]
    hot = "256M"                     # memory that QEMU's guest writes         [an eighth]

    [link]
    rate = "1Gbit"                   # bytes a second, or bits                 [not limited]

    [[cases]]                        # every combination of the four lists
    methods = ["none", "qatzip"]
    levels = [1]                     # left out for methods without levels     [the default]
    channels = [8]                   #                                         [[8]]
    routes = ["QEMU built-in", "relay pair"]        # or "native": the built-in guest moves itself
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Final

from ramferry.bench.scenario import (
    DATA,
    GENERATOR,
    GUESTS,
    LEAST_HOT,
    LEAST_MEMORY,
    LEAST_REPEATS,
    POSSIBLE,
    QEMU,
    Case,
    Guest,
    Scenario,
    labels,
)
from ramferry.bench.toml_table import TomlTable
from ramferry.codec import find_method
from ramferry.errors import UsageError, unreadable

SUFFIX: Final = ".toml"
MOST_BYTES: Final = 1 << 20
"""No scenario is larger."""
MOST_CASES: Final = 1000
MOST_CHANNELS: Final = 255


def shipped() -> tuple[str, ...]:
    """The names of the scenarios that come with Ramferry, sorted."""
    folder = files("ramferry.bench") / "scenarios"
    return tuple(sorted(f.name.removesuffix(SUFFIX) for f in folder.iterdir() if _is_toml(f.name)))


def _is_toml(name: str) -> bool:
    return name.endswith(SUFFIX)


def find_scenario(name: str) -> Scenario:
    """A shipped scenario by its name, or a file's by its path.

    :raise UsageError: there is no such scenario, or the file is not one; names file and key.
    :raise HostError: the file is there and cannot be read.
    """
    if name in shipped():
        text = (files("ramferry.bench") / "scenarios" / f"{name}{SUFFIX}").read_bytes()
        return parse(text, f"{name}{SUFFIX}", Path())
    path = Path(name)
    if not _is_toml(name) and not path.exists():
        raise UsageError(
            f"there is no scenario {name!r}: name one of {', '.join(shipped())}, or a .toml file"
        )
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    return parse(text, name, path.parent)


def parse(raw: bytes, name: str, folder: Path) -> Scenario:
    """Read a scenario file.

    :param name: of the file, for sentences; without its suffix it is the scenario's name.
    :param folder: from which relative paths of ``fill`` are seen.
    :raise UsageError: it is no TOML, or a key is unknown, missing or has an impossible value.
    """
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{name} is larger than any scenario")
    try:
        content = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no TOML: {error}") from error
    top = TomlTable(content, name, "")
    guest = _guest(top.table("guest"), folder)
    scenario = Scenario(
        name=Path(name).name.removesuffix(SUFFIX),
        title=top.text("title"),
        description=" ".join(top.text("description", "").split()),
        guest=guest,
        rate=_link_rate(top.table("link", {})),
        cases=_cases(top.tables("cases"), name, guest.kind),
        repeats=top.whole("repeats", 3, LEAST_REPEATS, 100),
        downtime_limit_ms=top.whole("downtime-limit", 300, 1, 2_000_000),
        timeout=float(top.whole("timeout", 600, 1, 86_400)),
    )
    top.nothing_else()
    if scenario.held > 2 and guest.dirty_rate:
        raise UsageError(f"{name}: native stands beside a QEMU's guest without a dirty-rate only")
    return scenario


def _guest(table: TomlTable, folder: Path) -> Guest:
    memory = table.size("memory")
    dirty = table.rate("dirty-rate", 0.0)
    kind = table.one_of("kind", GUESTS, QEMU)
    eighth = max(LEAST_HOT, memory // 8 >> 20 << 20) if dirty and kind == QEMU else 0
    hot = table.size("hot", eighth)
    if memory < LEAST_MEMORY:
        raise table.wrong("memory", f"{LEAST_MEMORY >> 20}M or more")
    if dirty > 100e9:
        raise table.wrong("dirty-rate", "100G or less")
    if bool(eighth) != bool(hot) or (hot and not LEAST_HOT <= hot <= memory // 2):
        raise table.wrong(
            "hot", f"{LEAST_HOT >> 20}M to half of memory, of a QEMU's guest with a dirty-rate"
        )
    guest = Guest(
        kind=kind,
        memory=memory,
        scalable=table.flag("scalable", False),
        fill=table.word_or_paths("fill", (DATA, GENERATOR), folder),
        dirty_rate=dirty,
        hot=hot,
    )
    table.nothing_else()
    return guest


def _link_rate(table: TomlTable) -> float:
    rate = table.rate("rate", 0.0)
    table.nothing_else()
    return rate


def _cases(tables: Sequence[TomlTable], name: str, kind: str) -> tuple[Case, ...]:
    cases = [case for table in tables for case in _product(table, kind)]
    if not cases or len(cases) > MOST_CASES:
        raise UsageError(f"{name}: cases make {len(cases)} cases, not 1 to {MOST_CASES}")
    seen: set[str] = set()
    for label in labels(tuple(cases)):
        if label in seen:
            raise UsageError(f"{name}: cases have {label} twice")
        seen.add(label)
    return tuple(cases)


def _product(table: TomlTable, kind: str) -> list[Case]:
    methods = table.items("methods", str)
    routes = table.items("routes", str)
    channels = table.items("channels", int, [8])
    levels = table.items("levels", int, [None])
    table.nothing_else()
    if not all(1 <= count <= MOST_CHANNELS for count in channels):
        raise table.wrong("channels", f"a list of numbers from 1 to {MOST_CHANNELS}")
    possible = POSSIBLE[kind]
    if not set(routes) <= set(possible):
        raise table.wrong("routes", f"a list of {', '.join(possible)} with a {kind} guest")
    combinations = product(routes, methods, levels, channels)
    return [Case(m, _level(table, m, n), count, r) for r, m, n, count in combinations]


def _level(table: TomlTable, method: str, level: int | None) -> int | None:
    """The level as the table shows it: the default by its number."""
    try:
        found = find_method(method)
        checked = found.level(level)
    except UsageError as error:
        raise UsageError(f"{table.place('methods')}: {error}") from error
    return None if found.levels is None else checked
