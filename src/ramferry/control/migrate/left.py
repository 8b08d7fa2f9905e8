"""A migration that does not end and is left to itself: why it was to end, and the last sentence.
Pure but for the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ramferry.control.qemu.status import ARRIVING, GONE, whereabouts
from ramferry.errors import RamferryError
from ramferry.patience import Patience


@dataclass(frozen=True, slots=True)
class Why:
    """The reason for cancelling a migration."""

    kind: type[RamferryError]
    sentence: str
    grace: Patience
    """The delay before ``migrate_cancel`` is sent, in which the source may notice by itself."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Both ends, as they were seen last."""

    before: str
    """The source's run state when the migration began."""
    near: str | None
    """The source's run state now; None if it does not answer."""
    far: str | None
    """The destination's; None if it does not answer, ``GONE`` if it has ended."""
    barred: bool = False
    """Whether the destination was told not to start the guest."""


def left_sentence(why: str, late: str, seen: Seen, advice: Sequence[str]) -> str:
    """The sentence where the answer may still come.

    :param why: the reason why it was to end.
    :param late: a clause that says how long it has not.
    :param advice: further clauses.
    """
    return "; ".join([why, late, whereabouts(seen.before, seen.near, seen.far), *advice])


def undecided_sentence(why: str, undecided: str, seen: Seen) -> str:
    """The sentence where the source's relay has given up, so that nobody will tell the source.

    :param why: the reason why the migration was to end.
    :param undecided: what that relay says: it holds the source, and names what to do.
    """
    said = undecided if why == undecided else f"{why}; {undecided}"
    if seen.far in (None, GONE, ARRIVING):
        found = {
            None: "the destination does not answer",
            GONE: "the destination's QEMU has ended",
            ARRIVING: "the destination does not have the guest, which is still to arrive there",
        }[seen.far]
        return f"{said}; {found}"
    how = "runs" if seen.far == "running" else f"is {seen.far}"
    source = "does not answer" if seen.near is None else f"is {seen.near}"
    ours = seen.barred and seen.before == "running"
    then = ", then `cont` the guest at the destination" if ours else ""
    return (
        f"the guest {how} at the destination, and the source, which {source}, has not heard of it:"
        f" `quit` the source's QEMU{then} ({said})"
    )
