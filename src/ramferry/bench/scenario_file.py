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

    [[cases]]                        # every combination of the five lists
    methods = ["none", "qatzip"]
    levels = [1]                     # left out for methods without levels     [the default]
    channels = [8]                   #                                         [[8]]
    routes = ["QEMU built-in", "relay pair"]        # or "native": the built-in guest moves itself
    tls = [false, true]              # in clear; by QEMU's TLS, or relay to relay  [[false]]
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ramferry.bench.scenario import (
    DATA,
    GENERATOR,
    GUESTS,
    LEAST_HOT,
    LEAST_MEMORY,
    LEAST_RATE,
    LEAST_REPEATS,
    POSSIBLE,
    QEMU,
    Case,
    Guest,
    Scenario,
    labels,
)
from ramferry.codec import find_method
from ramferry.errors import UsageError, unreadable
from ramferry.report.benchmark.comparison import NATIVE, one_of
from ramferry.typed import convert
from ramferry.units import parse_rate, parse_size
from ramferry.vocabulary import AUTO, MAX_CHANNELS, MAX_DOWNTIME_LIMIT_MS, RELAY_PAIR

SUFFIX: Final = ".toml"
MOST_BYTES: Final = 1 << 20
"""No scenario is larger."""
MOST_CASES: Final = 1000
MOST_DIRTY_RATE: Final = 100e9


class _Memory(int):
    """Bytes, written as "512M" or "2G"."""


class _Rate(float):
    """Bytes a second, written as "125M" or "1Gbit"."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A table of the file: its keys are the fields, with hyphens."""


class _Guest(_Table, frozen=True):
    memory: _Memory
    kind: Annotated[str, one_of(GUESTS)] = QEMU
    scalable: bool = False
    fill: (
        Annotated[str, one_of((DATA, GENERATOR))] | Annotated[tuple[str, ...], Meta(min_length=1)]
    ) = DATA
    dirty_rate: _Rate = _Rate(0)
    hot: _Memory | None = None


class _Link(_Table, frozen=True):
    rate: _Rate = _Rate(0)


class _Cases(_Table, frozen=True):
    methods: Annotated[tuple[str, ...], Meta(min_length=1)]
    routes: Annotated[tuple[str, ...], Meta(min_length=1)]
    levels: Annotated[tuple[int, ...], Meta(min_length=1)] | None = None
    channels: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=MAX_CHANNELS)], ...], Meta(min_length=1)
    ] = (8,)
    tls: Annotated[tuple[bool, ...], Meta(min_length=1)] = (False,)


class _File(_Table, frozen=True):
    title: str
    guest: _Guest
    cases: tuple[_Cases, ...]
    description: str = ""
    repeats: Annotated[int, Meta(ge=LEAST_REPEATS, le=100)] = LEAST_REPEATS
    downtime_limit: Annotated[int, Meta(ge=1, le=MAX_DOWNTIME_LIMIT_MS)] = 300
    timeout: Annotated[int, Meta(ge=1, le=86_400)] = 600
    link: _Link = _Link()


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
    :raise UsageError: it is no TOML, or a key is unknown, missing or has an impossible value; the
        sentence has the file's name and the key's path.
    """
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{name} is larger than any scenario")
    try:
        content = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no TOML: {error}") from error
    try:
        read = convert(content, _File, _number)
    except msgspec.ValidationError as error:
        raise UsageError(f"{name}: {error}") from error
    guest = _guest(read.guest, name, folder)
    scenario = Scenario(
        name=Path(name).name.removesuffix(SUFFIX),
        title=read.title,
        description=" ".join(read.description.split()),
        guest=guest,
        rate=float(read.link.rate),
        cases=_cases(read.cases, name, guest.kind),
        repeats=read.repeats,
        downtime_limit_ms=read.downtime_limit,
        timeout=float(read.timeout),
    )
    if scenario.held > 2 and guest.dirty_rate:
        raise UsageError(f"{name}: native stands beside a QEMU's guest without a dirty-rate only")
    return scenario


def _number(kind: type, value: Any) -> Any:
    """A size or rate from the text that a person writes; msgspec adds the path to the error."""
    if kind is _Memory:
        size = parse_size(value) if isinstance(value, str) else None
        if size is None:
            raise ValueError(f'Expected whole MiB of memory as "512M" or "2G", got {value!r}')
        return _Memory(size)
    rate = parse_rate(value) if isinstance(value, str) else None
    if rate is None or rate < LEAST_RATE:
        raise ValueError(f'Expected a rate as "125M" or "1Gbit", or no such key, got {value!r}')
    return _Rate(rate)


def _guest(read: _Guest, name: str, folder: Path) -> Guest:
    """:raise UsageError: its figures do not go together."""
    busy = bool(read.dirty_rate) and read.kind == QEMU
    eighth = max(LEAST_HOT, read.memory // 8 >> 20 << 20) if busy else 0
    hot = eighth if read.hot is None else int(read.hot)
    if read.memory < LEAST_MEMORY:
        raise UsageError(f"{name}: guest.memory must be {LEAST_MEMORY >> 20}M or more")
    if read.dirty_rate > MOST_DIRTY_RATE:
        raise UsageError(f"{name}: guest.dirty-rate must be {MOST_DIRTY_RATE / 1e9:.0f}G or less")
    if bool(eighth) != bool(hot) or (hot and not LEAST_HOT <= hot <= read.memory // 2):
        raise UsageError(
            f"{name}: guest.hot must be {LEAST_HOT >> 20}M to half of memory, of a QEMU's guest"
            " with a dirty-rate"
        )
    return Guest(
        kind=read.kind,
        memory=int(read.memory),
        scalable=read.scalable,
        fill=(read.fill,) if isinstance(read.fill, str) else _paths(read.fill, folder),
        dirty_rate=float(read.dirty_rate),
        hot=hot,
    )


def _paths(fill: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    return tuple(str(folder / Path(path).expanduser()) for path in fill)


def _cases(tables: tuple[_Cases, ...], name: str, kind: str) -> tuple[Case, ...]:
    """:raise UsageError: there are none, too many, or the same one twice."""
    cases = [
        case
        for number, table in enumerate(tables)
        for case in _product(table, f"{name}: cases[{number}]", kind)
    ]
    if not cases or len(cases) > MOST_CASES:
        raise UsageError(f"{name}: cases make {len(cases)} cases, not 1 to {MOST_CASES}")
    seen: set[str] = set()
    for label in labels(tuple(cases)):
        if label in seen:
            raise UsageError(f"{name}: cases have {label} twice")
        seen.add(label)
    return tuple(cases)


def _product(table: _Cases, where: str, kind: str) -> list[Case]:
    possible = POSSIBLE[kind]
    if not set(table.routes) <= set(possible):
        raise UsageError(f"{where}.routes must be of {', '.join(possible)} with a {kind} guest")
    if NATIVE in table.routes and any(table.tls):
        raise UsageError(f"{where}.tls: the built-in guest has no TLS by itself")
    if AUTO in table.methods and set(table.routes) != {RELAY_PAIR}:
        raise UsageError(f"{where}.methods: {AUTO} is for the route {RELAY_PAIR} alone")
    combinations = product(
        table.routes, table.methods, table.levels or (None,), table.channels, table.tls
    )
    return [Case(m, _level(where, m, n), count, r, tls) for r, m, n, count, tls in combinations]


def _level(where: str, method: str, level: int | None) -> int | None:
    """The level as the table shows it: the default by its number."""
    if method == AUTO and level is None:
        return None
    try:
        found = find_method(method)
        checked = found.level(level)
    except UsageError as error:
        raise UsageError(f"{where}.methods: {error}") from error
    return None if found.levels is None else checked
