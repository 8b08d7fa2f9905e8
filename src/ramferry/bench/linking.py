"""The link of a scenario: made, probed, and taken away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from ramferry.bench.link import ShapedLink
from ramferry.bench.namespace_probe import probe
from ramferry.control.hosts.host import BOTH_HERE, Hosts
from ramferry.errors import HostError
from ramferry.report.benchmark.comparison import RELAY_PACING, TC, UNSHAPED, Link
from ramferry.units import rate

TOO_FAST: Final = 1.1
"""If a probe finds more than this times the rate, nothing shapes the link."""
TOO_SLOW: Final = 0.85
"""A shaped link carries at least this times the rate: TCP's and IP's headers take 0.044."""


@dataclass(frozen=True, slots=True)
class Linked:
    """The link, and what is at its ends."""

    link: Link
    hosts: Hosts
    shaped: ShapedLink | None = None
    """What holds its rate; None if the relays do, or nothing."""


def linked(stack: ExitStack, wanted: float, shape: str, note: Callable[[str], None]) -> Linked:
    """The link, made and probed; it ends with ``stack``.

    :param wanted: bytes a second; 0 for a link that nothing limits.
    :param shape: what is to hold the rate: ``AUTO``, ``TC`` or ``RELAY_PACING``.
    :param note: called with sentences for the user.
    :raise HostError: this host cannot hold the rate by what was asked for.
    """
    if not wanted:
        return Linked(Link(0.0, UNSHAPED, probe(BOTH_HERE)), BOTH_HERE)
    if shape != RELAY_PACING:
        try:
            return _shaped(stack, wanted, note)
        except HostError as error:
            if shape == TC:
                raise
            note(f"{error}; the relays hold the link to {rate(wanted)} instead")
    return Linked(Link(wanted, RELAY_PACING), BOTH_HERE)


def _shaped(stack: ExitStack, wanted: float, note: Callable[[str], None]) -> Linked:
    with ExitStack() as made:
        shaped = made.enter_context(ShapedLink(wanted))
        found = probe(shaped.hosts)
        if found > TOO_FAST * wanted:
            raise HostError(
                f"the link cannot be shaped: it carries {rate(found)} where tc was told"
                f" {rate(wanted)}"
            )
        if found < TOO_SLOW * wanted:
            note(f"this machine carries {rate(found)} over a link of {rate(wanted)}")
        stack.push(made.pop_all())
    note(f"a link of {rate(wanted)}, held by tc; a probe carries {rate(found)}")
    return Linked(Link(wanted, TC, found), shaped.hosts, shaped)
