"""A choice in words, for a line that people read. Pure."""

from __future__ import annotations

import math
from typing import Final

from ramferry.policy.measurements import Candidate, Measurements, PageClass
from ramferry.policy.rating import Methods, shares_of
from ramferry.policy.searching import Found
from ramferry.units import rate as in_words

SHOWN: Final = 0.05
"""Share of the pages from which on a class is named."""


def reason(m: Measurements, found: Found, other: Found) -> str:
    """Why ``found``: "zstd 3: 213 MB/s, limited by the link (31 MB/s); zstd 1 208 MB/s".

    :param other: the runner-up; the same as ``found`` if there is none.
    """
    rating = found.rating
    text = named(m, found.methods)
    if rating.rate < math.inf:
        text += f": {in_words(rating.rate)}, limited by the {_limit(m, rating.limited_by)}"
    if other.methods == found.methods or other.rating.rate == math.inf:
        return text
    return f"{text}; {named(m, other.methods)} {in_words(other.rating.rate)}"


def named(m: Measurements, methods: Methods) -> str:
    """The candidates, each with the classes that it is for if there are several: "zstd 3
    (text-like), none (incompressible)". Classes that hardly come are left out."""
    shares = shares_of(m)
    groups: dict[Candidate, list[PageClass]] = {}
    for kind, share in shares.items():
        if share >= SHOWN:
            groups.setdefault(methods[kind], []).append(kind)
    if len(groups) == 1:
        return str(next(iter(groups)))
    return ", ".join(
        f"{one} ({', '.join(kind.value for kind in kinds)})" for one, kinds in groups.items()
    )


def _limit(m: Measurements, limit: str) -> str:
    if limit == "link":
        return f"link ({in_words(m.link)})" if m.link < math.inf else "link"
    cores = {"near cores": m.near.cores, "far cores": m.far.cores}
    return f"{limit} ({cores[limit]:.1f})" if limit in cores else limit
