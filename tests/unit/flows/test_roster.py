"""The roster: one guest, each id once, none out of range, none missing."""

from __future__ import annotations

import pytest

from ramferry.errors import MigrationFailed, RemoteProtocolError
from ramferry.flows.inlet.roster import Roster
from ramferry.wire.packets import Initial

OURS, OTHER = bytes(16), bytes(range(16))


def full(wanted: int | None, *ids: int) -> Roster:
    roster = Roster(wanted)
    for id in ids:
        roster.admit(Initial(OURS, id))
    return roster


def test_channels_come_in_any_order() -> None:
    roster = full(None, 3, 0, 2, 1)
    assert roster.ids == {0, 1, 2, 3}
    assert roster.full()
    roster.close()


@pytest.mark.parametrize(
    ("wanted", "ids", "late", "sentence"),
    [
        (None, [0], Initial(OURS, 255), "multifd 255: expected a channel id below 255, .* 255"),
        (2, [0], Initial(OURS, 2), "multifd 2: expected a channel id below 2, received id 2"),
        (2, [0], Initial(OURS, 0), "multifd 0: expected each channel id once, .* twice"),
        (None, [0], Initial(OTHER, 1), "multifd 1: expected UUID 0{32} as on .*, received 0001"),
    ],
)
def test_what_cannot_belong_is_refused(
    wanted: int | None, ids: list[int], late: Initial, sentence: str
) -> None:
    roster = full(wanted, *ids)
    with pytest.raises(RemoteProtocolError, match=sentence):
        roster.admit(late)
    assert roster.ids == set(ids)


def test_a_known_number_is_waited_for() -> None:
    assert not full(3, 0, 1).full()
    assert full(3, 0, 1, 2).full()


def test_none_at_all_is_a_migration_without_multifd() -> None:
    with pytest.raises(MigrationFailed, match="set the multifd capability on both QEMUs"):
        Roster(None).close()


def test_a_gap_is_named() -> None:
    with pytest.raises(MigrationFailed, match=r"multifd channels \[1, 2\] never came"):
        full(None, 0, 3).close()


@pytest.mark.parametrize(
    ("wanted", "late", "ours"),
    [
        (None, Initial(OURS, 2), True),
        (None, Initial(OURS, 1), False),
        (None, Initial(OTHER, 2), False),
        (2, Initial(OURS, 2), False),
    ],
)
def test_a_late_channel_may_be_ours_only_where_its_id_is_new_and_the_number_unknown(
    wanted: int | None, late: Initial, ours: bool
) -> None:
    assert full(wanted, 0, 1).may_lack(late) is ours


def test_a_source_without_multifd_has_no_channel() -> None:
    roster = full(0)
    assert roster.full()
    roster.close()
    with pytest.raises(RemoteProtocolError, match="expected a channel id below 0"):
        roster.admit(Initial(OURS, 0))
