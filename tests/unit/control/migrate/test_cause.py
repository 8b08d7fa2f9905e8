"""The clause nearest to the cause comes first, whoever spoke first."""

import pytest

from ramferry.control.migrate.cause import (
    Complaint,
    Rank,
    failure,
    failure_sentence,
    of_far_relay,
    of_words,
)
from ramferry.errors import MigrationFailed, PeerTimeout, PeerUnreachable

PLACE = "the guest runs at the source"
SOURCE = Complaint(Rank.SOURCE_SAYS, "the source says: Broken pipe")
ENDED = Complaint(Rank.DESTINATION_ENDED, "the destination QEMU ended")
SAW = Complaint(Rank.RELAY_SAW, "the source relay ended: main: closed")
FAR = Complaint(Rank.FAR_RELAY_LOST, "the relay at tcp:beta:4444 closed the connection")
FOUND = Complaint(Rank.RELAY_FOUND, "the destination relay ended: multifd 3 packet 7: bad zlib")
DIED = Complaint(Rank.RELAY_DIED, "the source relay ended: killed by signal 9")


@pytest.mark.parametrize(
    ("complaints", "sentence"),
    [
        ([], f"the migration failed, and no station says why; {PLACE}"),
        ([SOURCE], f"the migration failed: {SOURCE.clause}; {PLACE}"),
        (
            [SOURCE, SAW, ENDED],
            f"the migration failed: {ENDED.clause}; {PLACE} ({SAW.clause}; {SOURCE.clause})",
        ),
        (
            [SOURCE, ENDED, FOUND],
            f"the migration failed: {FOUND.clause}; {PLACE} ({ENDED.clause}; {SOURCE.clause})",
        ),
        (
            [SOURCE, SAW, ENDED, FAR],
            f"the migration failed: {FAR.clause}; {PLACE}"
            f" ({ENDED.clause}; {SAW.clause}; {SOURCE.clause})",
        ),
        ([SAW, DIED], f"the migration failed: {DIED.clause}; {PLACE} ({SAW.clause})"),
    ],
)
def test_sentence(complaints: list[Complaint], sentence: str) -> None:
    assert failure_sentence(complaints, PLACE) == sentence


@pytest.mark.parametrize(
    ("words", "rank"),
    [
        ("load of migration failed: Input/output error", Rank.DESTINATION_SAW),
        ("Unable to read from socket: Connection reset by peer", Rank.DESTINATION_SAW),
        ("Size mismatch: pc.ram: 0x8000000 != 0x4000000: Invalid argument", Rank.DESTINATION_SAYS),
    ],
)
def test_a_destination_that_lost_its_connection_says_nothing_of_the_cause(
    words: str, rank: Rank
) -> None:
    assert of_words("", words) == [Complaint(rank, f"the destination says: {words}")]


@pytest.mark.parametrize(
    "words",
    [
        "Failed to connect to '192.0.2.2:4455': Connection refused",
        "nobody accepts at tcp:192.0.2.2:4455: Connection refused",
    ],
)
def test_a_source_that_reached_nobody_names_the_cause(words: str) -> None:
    nobody = Complaint(Rank.UNREACHED, f"the source says: {words}")
    assert of_words(f"{words}.", "") == [nobody]
    assert type(failure([nobody], PLACE, moved=True)) is PeerTimeout
    error = failure([nobody, Complaint(Rank.DESTINATION_SAW, "it read nothing")], PLACE)
    assert type(error) is PeerUnreachable
    assert str(error) == f"the source says: {words}; {PLACE}"
    assert of_words("Broken pipe", "") == [SOURCE]


VIA = "relay:192.0.2.2:4455"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            f"nobody accepts at {VIA}: Connection refused",
            f"nobody accepts at {VIA} (--via), Connection refused: start the relay there",
        ),
        (
            f"no TLS with {VIA}: it closed the connection",
            f"the relay that --via names cannot be used: no TLS with {VIA}: it closed the"
            " connection",
        ),
    ],
)
def test_a_far_relay_that_is_not_there_leads_and_is_the_only_cause(error: str, said: str) -> None:
    """What both QEMUs and the near relay saw afterwards has nothing to add."""
    saw = Complaint(Rank.DESTINATION_SAW, "the destination says: end-of-file")
    for who in ("the source relay ended", "the source says"):
        nobody = Complaint(Rank.UNREACHED, f"{who}: {error}")
        found = failure(of_far_relay(VIA, [nobody, SOURCE, saw]), PLACE)
        assert type(found) is PeerUnreachable
        assert str(found) == f"{said}; {PLACE}"
    # the QEMU behind it is another matter
    found = failure(of_far_relay(VIA, [nobody, ENDED]), PLACE)
    assert str(found) == f"{said}; {PLACE} ({ENDED.clause})"


def test_a_far_relay_that_closed_the_connection_is_named() -> None:
    lost = of_far_relay(VIA, [SAW])
    assert [one.rank for one in lost] == [Rank.RELAY_SAW, Rank.FAR_RELAY_LOST]
    found = failure([*lost, SOURCE], PLACE)
    assert type(found) is MigrationFailed
    assert str(found).startswith(f"the migration failed: the relay at {VIA} closed the connection")
    assert of_far_relay(VIA, [FOUND]) == [FOUND]
