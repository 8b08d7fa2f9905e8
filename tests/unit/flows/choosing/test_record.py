"""The course of choices: bounded, and countable."""

from __future__ import annotations

import math

from ramferry.flows.choosing.record import MOST, Record
from ramferry.policy.choice import Choice
from ramferry.policy.measurements import Candidate, Host, Measurements, PageClass

FAST, SMALL = Candidate("zstd", 1), Candidate("zstd", 9)


def choice(candidate: Candidate, now: float) -> Choice:
    methods = dict.fromkeys(PageClass, candidate)
    return Choice(methods, math.inf, "link", methods, 1e6, now, "why")


def measured(link: float = math.inf) -> Measurements:
    return Measurements({}, {}, Host(1.5), Host(0.25), link=link, link_known=link < math.inf)


def test_an_entry_has_the_figures_in_a_form_for_json() -> None:
    record = Record(100.0)
    record.add(choice(FAST, 101.25), measured(), 101.25)
    (entry,) = record.entries
    assert (entry.seconds, entry.limited_by, entry.near_cores) == (1.25, "link", 1.5)
    assert (entry.rate, entry.link, entry.link_known) == (0.0, 0.0, False)
    assert set(entry.methods) == {kind.value for kind in PageClass}
    assert set(entry.methods.values()) == {"zstd 1"}
    assert record.changes == 0


def test_a_host_of_which_nothing_is_known_has_no_cores_to_tell() -> None:
    record = Record(100.0)
    by = Measurements({}, {}, Host(1.5), Host(math.inf))
    record.add(choice(FAST, 101.0), by, 101.0)
    (entry,) = record.entries
    assert (entry.near_cores, entry.far_cores) == (1.5, 0.0)


def test_changes_are_counted_and_the_shortest_entries_go() -> None:
    record, now = Record(0.0), 0.0
    for turn in range(2 * MOST):
        now += 5.0 if turn % 10 == 0 else 0.5
        record.add(choice(SMALL if turn % 2 else FAST, now), measured(1e6), now)
    assert record.changes == 2 * MOST - 1
    assert len(record.entries) == MOST
    assert record.entries[0].seconds == 5.0
    assert record.entries[-1].seconds == round(now, 3)
    seconds = [one.seconds for one in record.entries]
    assert seconds == sorted(seconds)
