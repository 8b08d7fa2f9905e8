"""What a channel's packets came to by each candidate."""

from __future__ import annotations

from dataclasses import dataclass, field

from ramferry.flows.session.tally import CodecClock
from ramferry.policy.measurements import NONE, Candidate, PageClass


@dataclass(slots=True)
class Use:
    """Packets of one class of pages that one candidate compressed; one thread writes, others may
    read at any time."""

    kind: PageClass
    candidate: Candidate
    wire: int = 0
    """Bytes of payload that were sent; of a packet that did not shrink, those of its pages."""
    clock: CodecClock = field(default_factory=CodecClock)
    """Its ``size`` is the bytes of pages."""
    plain: bool = field(init=False)
    """Whether it compresses nothing."""

    def __post_init__(self) -> None:
        self.plain = self.candidate == NONE
