"""What is said of a migration that is left to itself, by what was seen of both ends."""

from __future__ import annotations

import pytest

from ramferry.control.migrate.left import Seen, left_sentence, undecided_sentence
from ramferry.control.qemu.status import GONE

GAVE_UP = "the source relay ended: nobody says; see with `info status` whether it runs there"


def test_where_the_answer_may_still_come() -> None:
    seen = Seen("running", "finish-migrate", None)
    assert left_sentence("cancelled", "30 s later", seen, ["its relays wait"]) == (
        "cancelled; 30 s later; the guest stands still at the source, which is finish-migrate, and "
        "the destination does not answer: see there, with `info status`, that it does not run "
        "before you `cont` the source; its relays wait"
    )


@pytest.mark.parametrize(
    ("far", "found"),
    [
        (None, "the destination does not answer"),
        (GONE, "the destination's QEMU has ended"),
        ("inmigrate", "the destination does not have the guest, which is still to arrive there"),
    ],
)
def test_what_was_not_seen_is_not_said(far: str | None, found: str) -> None:
    seen = Seen("running", "finish-migrate", far)
    assert undecided_sentence(GAVE_UP, GAVE_UP, seen) == f"{GAVE_UP}; {found}"
    assert undecided_sentence("ssh ended", GAVE_UP, seen) == f"ssh ended; {GAVE_UP}; {found}"


@pytest.mark.parametrize(("far", "how"), [("running", "runs"), ("paused", "is paused")])
def test_what_was_seen_comes_first(far: str, how: str) -> None:
    assert undecided_sentence(GAVE_UP, GAVE_UP, Seen("running", "finish-migrate", far)) == (
        f"the guest {how} at the destination, and the source, which is finish-migrate, has not "
        f"heard of it: `quit` the source's QEMU ({GAVE_UP})"
    )


def test_a_guest_that_stands_still_there_because_of_us_is_let_go_on_by_hand() -> None:
    seen = Seen("running", "finish-migrate", "paused", barred=True)
    found = undecided_sentence(GAVE_UP, GAVE_UP, seen)
    assert "`quit` the source's QEMU, then `cont` the guest at the destination (" in found


def test_a_source_that_does_not_answer_either() -> None:
    found = undecided_sentence(GAVE_UP, GAVE_UP, Seen("running", None, "running"))
    assert "and the source, which does not answer, has not heard" in found
