"""The clause nearest to the cause comes first, whoever spoke first."""

import pytest

from ramferry.control.blame import Complaint, Rank, failure_sentence

PLACE = "the guest runs at the source"
SOURCE = Complaint(Rank.SOURCE_SAYS, "the source says: Broken pipe")
ENDED = Complaint(Rank.DESTINATION_ENDED, "the destination QEMU ended")
SAW = Complaint(Rank.RELAY_SAW, "the source relay ended: main: closed")
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
        ([SAW, DIED], f"the migration failed: {DIED.clause}; {PLACE} ({SAW.clause})"),
    ],
)
def test_sentence(complaints: list[Complaint], sentence: str) -> None:
    assert failure_sentence(complaints, PLACE) == sentence
