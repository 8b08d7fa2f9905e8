"""A comparison comes back from its JSON as it was; whatever else comes is a sentence."""

from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ramferry.metrics import ChannelCounters, MigrationResult, RelayCounters, RelayResult
from ramferry.report.benchmark.comparison import (
    HOW,
    ROUTES,
    CaseRuns,
    Comparison,
    Damaged,
    Link,
    Run,
    Scenario,
    TimelinePoint,
    decode,
    document,
)
from ramferry.report.document import write_document

WORDS = st.text(max_size=12)
COUNTS = st.integers(0, (1 << 63) - 1)
FIGURES = st.floats(0, 1e18)
FACTS = st.recursive(
    st.none() | st.booleans() | COUNTS | FIGURES | WORDS,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(WORDS, one, max_size=3),
    max_leaves=6,
)


def _few(one: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(one, max_size=2).map(tuple)


COUNTERS = st.builds(
    RelayCounters,
    *[FIGURES, *[COUNTS] * 7, FIGURES],
    channels=_few(st.builds(ChannelCounters, WORDS, *[COUNTS] * 6)),
    codec_seconds=FIGURES,
    system_seconds=FIGURES,
)
RELAYS = st.builds(
    RelayResult,
    *[st.booleans(), WORDS, COUNTS, WORDS, WORDS, st.none() | COUNTS, WORDS],
    *[COUNTS, st.booleans(), COUNTS, COUNTERS, COUNTS],
)


@st.composite
def results(draw: st.DrawFn) -> MigrationResult:
    """If nobody counted the wire's bytes, there are no figures of the wire."""
    wire = draw(st.none() | COUNTS)
    of_wire = st.none() if wire is None else FIGURES
    return draw(
        st.builds(
            MigrationResult,
            *[WORDS, WORDS, st.none() | COUNTS, COUNTS, WORDS, COUNTS, COUNTS],
            *[of_wire, FIGURES, st.none() | FIGURES, st.none() | FIGURES, st.just(wire)],
            *[COUNTS, of_wire, WORDS, COUNTS, COUNTS, _few(RELAYS)],
        )
    )


POINTS = st.builds(TimelinePoint, FIGURES, COUNTS, WORDS, st.none() | COUNTS, COUNTS, COUNTS)
CPU = st.none() | FIGURES
RUNS = st.builds(Run, results(), CPU, CPU, _few(POINTS)) | st.builds(
    Run, st.none(), CPU, CPU, _few(POINTS), st.text(min_size=1, max_size=12)
)
CASES = st.lists(
    st.builds(
        CaseRuns,
        *[WORDS, WORDS, st.none() | COUNTS, COUNTS, st.sampled_from(ROUTES), _few(RUNS)],
    ),
    max_size=3,
    unique_by=lambda case: case.label,
).map(tuple)
LINKS = st.builds(Link, FIGURES, st.sampled_from(HOW), st.none() | FIGURES)
SCENARIOS = st.builds(
    Scenario,
    *[WORDS, WORDS, WORDS, WORDS, COUNTS, WORDS, WORDS, LINKS, st.none() | COUNTS, WORDS],
)
COMPARISONS = st.builds(
    Comparison, SCENARIOS, st.dictionaries(WORDS, FACTS, max_size=3), CASES, WORDS,
    st.booleans(), WORDS,
)  # fmt: skip


@given(COMPARISONS)
def test_it_comes_back_as_it_was(found: Comparison) -> None:
    out = io.StringIO()
    write_document(document(found), out)
    assert decode(out.getvalue().encode(), "r.json") == found


@given(COMPARISONS, st.data())
def test_any_other_value_anywhere_is_a_sentence_or_a_comparison(
    found: Comparison, data: st.DataObject
) -> None:
    content = json.loads(json.dumps(document(found)))
    place: Any = content
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not (isinstance(inner, dict | list) and inner) or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(FACTS)
    said = _sentence(content)
    assert said.startswith("r.json: ")
    assert said.isprintable()


def _sentence(content: Any) -> str:
    """Why it is no comparison; of one that is, the place alone."""
    try:
        decode(json.dumps(content).encode(), "r.json")
    except Damaged as error:
        return str(error)
    return "r.json: "
