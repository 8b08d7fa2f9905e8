"""What is believed of candidates while they are measured."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from policy_worlds import BINARY, NANO, RANDOM, TEXT, ZEROS, Zstd
from ramferry.policy import NONE, Candidate, Figure, PageClass
from ramferry.policy.candidates import candidates
from ramferry.policy.expectations import expected
from ramferry.policy.figures import MEMORY, PRIOR, Figures, Tried
from ramferry.vocabulary import PACKET_BYTES

EVERY = candidates(device=True)
TABLE = expected(EVERY)
DEVICE = Candidate("qatzip", 1, device=True)


def use(
    figures: Figures, kind: PageClass, one: Candidate, wire: float, encode: float, times: int = 1
) -> None:
    for _ in range(times):
        figures.used(kind, one, PACKET_BYTES, round(wire * PACKET_BYTES), encode * PACKET_BYTES)


def tried(one: Candidate, figure: Figure) -> Tried:
    wire = round(figure.wire * PACKET_BYTES)
    return Tried(one, wire, figure.encode * PACKET_BYTES, figure.decode * PACKET_BYTES)


def bent(kind: PageClass, one: Candidate, power: float = 1.0, times: float = 1.0) -> Figure:
    """What a candidate makes of pages that differ from the table, for all candidates alike."""
    table = TABLE[kind][one]
    return Figure(table.wire**power, table.encode * times, table.decode * times)


def test_without_measurements_it_is_the_table() -> None:
    assert Figures(EVERY).all() == TABLE
    assert Figures(EVERY, 2.0, 3.0).all() == expected(EVERY, 2.0, 3.0)


def test_many_measurements_are_believed() -> None:
    figures = Figures(EVERY)
    for _ in range(500):
        figures.tried(TEXT, PACKET_BYTES, [tried(Zstd(3), Figure(0.5, 9 * NANO, 2 * NANO))])
    found = figures.all()[TEXT][Zstd(3)]
    assert found.wire == pytest.approx(0.5, rel=0.01)
    assert found.encode == pytest.approx(9 * NANO, rel=0.01)
    assert found.decode == pytest.approx(2 * NANO, rel=0.01)
    assert found.measured == 500 * PACKET_BYTES


@pytest.mark.parametrize("hard", [True, False])
def test_a_candidate_is_no_better_for_an_easy_packet(hard: bool) -> None:
    """zstd 1 and -3 are as the table has them; -3 is tried on one kind of packets only."""
    figures, easy = Figures(EVERY), (1.7, 0.5)
    for _ in range(20):
        for shape in (easy, (0.6, 1.8)):
            trials = [tried(Zstd(1), bent(TEXT, Zstd(1), *shape))]
            if (shape == easy) is not hard:
                trials.append(tried(Zstd(-3), bent(TEXT, Zstd(-3), *shape)))
            figures.tried(TEXT, PACKET_BYTES, trials)
    found = figures.all()[TEXT]
    power = math.log(found[Zstd(1)].wire) / math.log(TABLE[TEXT][Zstd(1)].wire)
    assert found[Zstd(-3)].wire == pytest.approx(TABLE[TEXT][Zstd(-3)].wire ** power, rel=0.01)
    for what in ("encode", "decode"):
        ratio = getattr(TABLE[TEXT][Zstd(-3)], what) / getattr(TABLE[TEXT][Zstd(1)], what)
        assert getattr(found[Zstd(-3)], what) / getattr(found[Zstd(1)], what) == pytest.approx(
            ratio, rel=0.01
        )


def test_all_candidates_follow_what_comes_now() -> None:
    """What is in use tells of pages that have become harder, for what was compared before too."""
    figures = Figures(EVERY)
    dearer = replace(bent(TEXT, Zstd(9)), encode=2 * TABLE[TEXT][Zstd(9)].encode)
    for _ in range(200):
        figures.tried(
            TEXT, PACKET_BYTES, [tried(Zstd(1), bent(TEXT, Zstd(1))), tried(Zstd(9), dearer)]
        )
    now = bent(TEXT, Zstd(9), 0.5, 3.0)
    use(figures, TEXT, Zstd(9), now.wire, 2 * now.encode, 500)
    found, often = figures.all()[TEXT], MEMORY / (MEMORY + PRIOR)
    assert found[Zstd(9)].encode == pytest.approx(2 * now.encode, rel=0.1)
    assert found[Zstd(1)].encode == pytest.approx(
        3 * TABLE[TEXT][Zstd(1)].encode * 2 ** (1 - often), rel=0.1
    )
    assert found[Zstd(1)].wire == pytest.approx(TABLE[TEXT][Zstd(1)].wire ** 0.5, rel=0.05)


def test_one_odd_packet_does_not_set_a_candidate_apart() -> None:
    figures = Figures(EVERY)
    use(figures, TEXT, Zstd(3), TABLE[TEXT][Zstd(3)].wire, TABLE[TEXT][Zstd(3)].encode, 20)
    odd = replace(TABLE[TEXT][Zstd(9)], wire=TABLE[TEXT][Zstd(9)].wire / 2)
    figures.tried(TEXT, PACKET_BYTES, [tried(Zstd(3), TABLE[TEXT][Zstd(3)]), tried(Zstd(9), odd)])
    found = figures.all()[TEXT][Zstd(9)].wire / TABLE[TEXT][Zstd(9)].wire
    assert 0.8 < found < 1.0


def test_half_of_how_it_differs_is_believed_at_the_prior() -> None:
    figures = Figures(EVERY)
    twice = replace(TABLE[TEXT][Zstd(9)], encode=2 * TABLE[TEXT][Zstd(9)].encode)
    for _ in range(PRIOR // PACKET_BYTES):
        figures.tried(
            TEXT, PACKET_BYTES, [tried(Zstd(1), TABLE[TEXT][Zstd(1)]), tried(Zstd(9), twice)]
        )
    ratio = figures.all()[TEXT][Zstd(9)].encode / TABLE[TEXT][Zstd(9)].encode
    assert ratio == pytest.approx(2**0.5, rel=0.01)


def test_what_was_long_ago_is_forgotten() -> None:
    figures = Figures(EVERY)
    use(figures, TEXT, Zstd(3), 0.2, 3 * NANO, 1000)
    use(figures, TEXT, Zstd(3), 0.6, 3 * NANO, 3 * MEMORY // PACKET_BYTES)
    assert figures.all()[TEXT][Zstd(3)].wire > 0.5


def test_pages_that_hardly_compress_are_expected_not_to_at_other_levels() -> None:
    figures = Figures(EVERY)
    use(figures, BINARY, Zstd(1), 0.99, 2 * NANO, 30)
    found = figures.all()
    assert 0.98 < found[BINARY][Zstd(9)].wire < 0.99
    assert found[TEXT][Zstd(9)].wire == TABLE[TEXT][Zstd(9)].wire


def test_pages_that_compress_though_they_look_random_are_expected_to_at_other_levels() -> None:
    figures = Figures(EVERY)
    use(figures, RANDOM, Zstd(1), 0.5, NANO, 30)
    assert figures.all()[RANDOM][Zstd(9)].wire == pytest.approx(0.5, rel=0.02)


def test_a_slow_core_is_slow_with_all_candidates_but_on_a_device() -> None:
    figures = Figures(EVERY)
    slow = 3 * TABLE[TEXT][Zstd(1)].encode
    use(figures, TEXT, Zstd(1), TABLE[TEXT][Zstd(1)].wire, slow, 5)
    found = figures.all()
    for kind in (TEXT, BINARY, ZEROS):
        assert found[kind][Zstd(9)].encode == pytest.approx(3 * TABLE[kind][Zstd(9)].encode)
        assert found[kind][DEVICE].encode == TABLE[kind][DEVICE].encode
    assert found[TEXT][NONE] == TABLE[TEXT][NONE]


def test_decoding_is_learned_by_trials_alone() -> None:
    figures = Figures(EVERY)
    table = TABLE[TEXT][Zstd(1)]
    figures.tried(TEXT, PACKET_BYTES, [tried(Zstd(1), replace(table, decode=2 * table.decode))])
    use(figures, TEXT, Zstd(1), table.wire, table.encode, 50)
    found = figures.all()[TEXT]
    assert found[Zstd(9)].decode == pytest.approx(2 * TABLE[TEXT][Zstd(9)].decode)
    assert found[Zstd(9)].encode == pytest.approx(TABLE[TEXT][Zstd(9)].encode)
    assert found[Zstd(1)].measured == 51 * PACKET_BYTES
