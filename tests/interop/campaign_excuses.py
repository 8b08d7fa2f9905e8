"""What is not as it is to be, and known: today's truth, counted in the campaign's summary.

There is no excuse on a way whose ``Topology`` promises it, but for ``IN_ITS_NAME``, which nothing
that a relay sees could tell: that is the one switch.
"""

from __future__ import annotations

from campaign_trial import Trial

HAND_RUN = "the answer was cut where nobody can ask both QEMUs"
OWN_CUT = "a source goes on by itself whose own connection is cut, or that is told to"
IN_ITS_NAME = (
    "somebody between a relay and its QEMU ended the line as the QEMU would, without its answer"
)
NO_DIGESTS = "bytes of QEMU's own wire were changed, which has no digests"
QEMU_WAITS = "a QEMU whose connections break at the wrong moment waits for them"
_OF_THE_GUEST = ("memory", "lost guest", "untrue 0", "untrue code")


def excuse(trial: Trial, kind: str) -> str:
    """Why a fault is known; "" where it is not."""
    if kind in ("two guests", "two paused"):
        if trial.answer_cut:
            return HAND_RUN
        if trial.answer_kept and not trial.managed:
            return IN_ITS_NAME
        return OWN_CUT if trial.own_cut and not trial.managed else ""
    if kind == "untrue code" and trial.answer_cut:
        return HAND_RUN
    if trial.blind and kind in _OF_THE_GUEST:
        return NO_DIGESTS
    if kind == "hangs" and trial.topology == "direct" and trial.fault == "swallow":
        return QEMU_WAITS
    if kind in ("silent source", "silent destination"):
        return _silence(trial, kind.removeprefix("silent "))
    return ""


def _silence(trial: Trial, side: str) -> str:
    """A QEMU is hit where its own connection is, with no relay that could end it in order."""
    if getattr(trial, side) == "built-in":
        return ""
    own = {"source": "near", "destination": "far"}[side]
    direct = trial.topology == "direct"
    return QEMU_WAITS if direct or trial.place == own else ""
