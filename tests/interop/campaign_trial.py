"""What one trial of the campaign does. ``campaign_draw`` draws them from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from campaign_topologies import TOPOLOGIES, Topology

from fault_blows import ALTERING, CONNECTING, ENDING, LASTING

ALTERS: Final = (*sorted(ALTERING), "garbage")
BREAKS: Final = (*sorted(ENDING), *sorted(LASTING), *ALTERS, *sorted(CONNECTING))
"""What a proxy does."""
SIGNALS: Final = ("kill", "term", "int", "hup", "stop")
FAULTS: Final = (*BREAKS, *(f"sig{name}" for name in SIGNALS), "cancel", "timeout")
LATE: Final = ("switchover", "device", "answer", "after")


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial."""

    seed: int
    number: int
    topology: str
    source: str
    """ "7.2", "10.0" or "built-in"."""
    destination: str
    paused: bool
    """The guest does not run, and is not to."""
    method: str
    channels: int
    fault: str
    watch: str
    """The connection where a proxy sees the phase; "" where the source's monitor tells it."""
    place: str
    """Where the fault is: ``watch``, another connection, or a monitor's ("qmp-source")."""
    target: str
    """A connection ("main", "multifd 1", "connection 0", "qmp", "" for all of them) or a process
    ("migrate", "near", "far", "source", "destination")."""
    way: str
    phase: str
    seconds: float
    """Of a stall, a delay, a trickle, a stop."""
    delay: float
    """Seconds from the phase to the fault; 0: before anything of the phase passes."""
    skip: int
    """Bytes from the phase to the fault."""
    lasting: bool
    """A connection that was ended cannot be opened again."""
    once: bool
    """Relays that were started by hand carry one migration, and not the next. With ssh: data go
    through its connection."""
    timeout: float | None
    """``--timeout``."""

    @property
    def id(self) -> str:
        """What repeats it: seed and number."""
        return f"{self.seed}-{self.number}"

    @property
    def way_there(self) -> Topology:
        """The topology."""
        return TOPOLOGIES[self.topology]

    @property
    def managed(self) -> bool:
        """Whether ``ramferry migrate`` is in charge."""
        return self.way_there.managed

    @property
    def killed(self) -> str:
        """Whose end the fault is: "source" where that QEMU is ended on purpose."""
        return self.target if self.fault in ("sigkill", "sigterm") else ""

    @property
    def answer_cut(self) -> bool:
        """Whether the destination's answer was kept from the source where nobody could ask both:
        by a broken line between hand-run relays, by a relay's end, or by a source that somebody
        told to give up."""
        if self.way_there.answered or self.phase not in LATE:
            return False
        altered = self.fault in ALTERS and self.phase != "after"
        ends = (*ENDING, "dead", "cancel")
        return self.fault in ends or altered or self.fault.startswith("sig")

    @property
    def answer_kept(self) -> bool:
        """Whether a destination's line was ended, as the QEMU itself would, towards its relay alone
        in the switchover: nothing tells that from a QEMU that has failed."""
        ended = self.fault == "half-cut" and self.way == "back"
        return ended and self.place == "far" and self.phase in LATE

    @property
    def own_cut(self) -> bool:
        """Whether the source's own connection was cut in the switchover, or somebody told it to
        give up: it goes on by itself then, whatever its relay knows."""
        broken = self.fault in (*ENDING, "dead", *ALTERS) and self.place == "near"
        return self.phase in LATE and (broken or self.fault == "cancel")

    @property
    def blind(self) -> bool:
        """Whether it changes bytes of QEMU's own wire, which has no digests: nobody can see it
        there, and what comes of it is the guest's."""
        verified = self.place == "wire" and self.way_there.verified
        return self.fault in ALTERS and not self.place.startswith("qmp") and not verified

    def __str__(self) -> str:
        what = f"{self.fault} {self.target or 'every line'}"
        if self.way != "both":
            what += f" {self.way}"
        if self.seconds:
            what += f" for {self.seconds:g} s"
        where = f" at {self.place}" if self.place else ""
        if self.place != self.watch:
            where += f" (seen at {self.watch})"
        after = f" + {self.delay * 1000:.0f} ms" if self.delay else ""
        after += f" + {self.skip} bytes" if self.skip else ""
        limit = f" --timeout {self.timeout:g}" if self.timeout else ""
        state = ", paused" if self.paused else ""
        once = " --through-ssh" if self.topology == "ssh" else " --once"
        once = once if self.once else ""
        return (
            f"{self.id} {self.topology} {self.source}→{self.destination}{state} {self.method}"
            f" ×{self.channels}{limit}{once}: {what}{where}, {self.phase}{after}"
        )
