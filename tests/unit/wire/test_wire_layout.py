"""The transition table is whole."""

from __future__ import annotations

from ramferry.wire.grammar import COMMANDS, TRANSITIONS, SectionType, State


def test_every_state_has_a_row_and_every_section_type_a_place() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {kind for row in TRANSITIONS.values() for kind in row} == set(SectionType)


def test_every_state_can_be_reached() -> None:
    by_other_means = {State.HEADER, State.OPENING, State.ROUNDS, State.TAIL}
    assert by_other_means | {to for row in TRANSITIONS.values() for to in row.values()} == set(
        State
    )


def test_no_item_leads_back_before_the_configuration_nor_out_of_the_end() -> None:
    order = list(State)
    for state, row in TRANSITIONS.items():
        assert all(order.index(to) >= order.index(state) for to in row.values())
    assert not TRANSITIONS[State.TAIL]
    assert not TRANSITIONS[State.DESCRIBED]


def test_commands_are_numbered_without_gaps_and_stay_small() -> None:
    assert list(COMMANDS) == list(range(1, 12))
    assert max(max(spec.lengths) for spec in COMMANDS.values()) < 512
