"""The clause nearest to the cause comes first, whoever spoke first."""

import pytest

from ramferry.control.migrate.cause import Complaint, Rank, failure_sentence, rank_of_words

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
    assert rank_of_words(words) is rank
