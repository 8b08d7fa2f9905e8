"""Worlds and measurements that the policy is tried in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ramferry.policy import NONE, Candidate, Figure, Host, Measurements, PageClass
from ramferry.policy.candidates import candidates
from ramferry.policy.deciding import decide
from ramferry.policy.expectations import expected
from ramferry.policy.simulation import Outcome, Step, World

ZEROS, TEXT, BINARY, RANDOM = PageClass
GBIT = 1e9 / 8
NANO = 1e-9

NEAR = Host(16, 0.1 * NANO, 0.257 * NANO)
FAR = Host(16, 0.35 * NANO, 0.325 * NANO)
"""Costs besides codecs, so that a byte of pages without compression costs what it costs in the
table of QEMU's page on qatzip: 45 % of a core for 46 s at the source, 85 % at the other end."""

MIXED = {ZEROS: 0.05, TEXT: 0.5, BINARY: 0.35, RANDOM: 0.1}

Zstd = partial(Candidate, "zstd")


def measured(
    link: float = math.inf, shares: Mapping[PageClass, float] | None = None, **but: Any
) -> Measurements:
    """Measurements of a host that is as the table says; the link is known if it is finite."""
    device = but.pop("device", False)
    facts = {
        "shares": MIXED if shares is None else shares,
        "figures": expected(candidates(device=device)),
        "near": NEAR,
        "far": FAR,
        "link": link,
        "link_known": link < math.inf,
    }
    return Measurements(**(facts | but))


def figures_of(**rows: tuple[float, float, float]) -> dict[PageClass, dict[Candidate, Figure]]:
    """The same few candidates for all classes: ``zstd_1=(wire, encode, decode)`` in nanoseconds."""
    found = {NONE: Figure(1.0, 0.0, 0.0)}
    for name, (wire, encode, decode) in rows.items():
        method, level = name.split("_")
        found[Candidate(method, int(level))] = Figure(wire, encode * NANO, decode * NANO)
    return {kind: dict(found) for kind in PageClass}


def always(value: Any) -> Callable[[float], Any]:
    return lambda _: value


def then(*parts: tuple[float, float], last: float) -> Callable[[float], float]:
    """A value until each time, and the last one."""

    def at(now: float) -> float:
        return next((value for until, value in parts if now < until), last)

    return at


def true_figures(seed: int, *, device: bool) -> dict[PageClass, dict[Candidate, Figure]]:
    """Figures that are not the expected ones: of each class by a quarter, of each candidate a bit
    more."""
    drawn = np.random.default_rng(seed)
    found: dict[PageClass, dict[Candidate, Figure]] = {}
    for kind, figures in expected(candidates(device=device)).items():
        power, near, far = np.exp(drawn.normal(0, 0.25, 3))
        found[kind] = {}
        for one, figure in figures.items():
            wire, encode, decode = np.exp(drawn.normal(0, 0.03, 3))
            found[kind][one] = Figure(
                min(1.0, figure.wire**power * wire) if figure.wire < 1 else 1.0,
                figure.encode * near * encode,
                figure.decode * far * decode,
            )
    return found


def world(
    gbit: float = 10.0, *, seed: int = 1, device: bool = False, cores: float = 16, **but: Any
) -> World:
    """A guest of 64 GB of mixed pages; with devices as fast as three C62x endpoints."""
    facts = {
        "figures": true_figures(seed, device=device),
        "near": replace(NEAR, cores=cores),
        "far": replace(FAR, cores=cores),
        "link": always(gbit * GBIT),
        "shares": always(MIXED),
        "device_rate": 79.4 * GBIT if device else math.inf,
    }
    return World(**(facts | but))


class Knowing:
    """Chooses by the truth at each step: what could be had at best."""

    trial_cores = 0.0

    def __init__(self, world: World) -> None:
        self.methods = decide(world.at(0.0, 0.0), 0.0, None).methods

    def saw(self, step: Step, _: Outcome) -> None:
        self.methods = decide(step.truth, step.now, None).methods
