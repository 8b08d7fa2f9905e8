"""What picks a test's cases: every two values meet, and none is left out of the whole."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from covering import pairs_of, pairwise


@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ((2,), 2),
        ((2, 2), 4),
        ((2, 2, 2), 4),
        ((2, 2, 2, 2), 6),
        ((3, 4, 2), 12),
        ((3, 3, 3, 3), 11),
    ],
)
def test_any_two_places_of_two_factors_meet_in_few_rows(sizes: tuple[int, ...], most: int) -> None:
    rows = pairwise(*sizes)
    for one, other in combinations(range(len(sizes)), 2):
        met = {(row[one], row[other]) for row in rows}
        assert met == set(product(range(sizes[one]), range(sizes[other])))
    assert {row[0] for row in rows} == set(range(sizes[0]))
    assert len(rows) == len(set(rows)) <= most


def test_the_chosen_cases_come_first_and_the_rest_is_slow() -> None:
    mark = pairs_of({"pair": "ab", "route": (1, 2), "fault": ("cut", "reset")}, indirect=["pair"])
    names, cases = mark.args
    assert names == ("pair", "route", "fault")
    assert mark.kwargs == {"indirect": ["pair"]}
    assert {case.values for case in cases} == set(product("ab", (1, 2), ("cut", "reset")))
    assert [bool(case.marks) for case in cases] == [False] * 4 + [True] * 4
    assert cases[0].id == "a-1-cut"
