"""What a policy decides, with the figures that it was decided by. Frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ramferry.policy.measurements import NONE, Candidate, Figure, PageClass


@dataclass(frozen=True, slots=True)
class Choice:
    """Which candidate compresses each class of pages."""

    methods: Mapping[PageClass, Candidate]
    rate: float
    """Expected bytes of pages a second."""
    limited_by: str
    """What limits the rate: "link", "near cores", "far cores", "device" or "source"."""
    runner_up: Mapping[PageClass, Candidate]
    """The best choice that does otherwise with the class that most pages are of; the same as
    ``methods`` if there is none."""
    runner_up_rate: float
    since: float
    """When ``methods`` was chosen, by the caller's clock, in seconds."""
    reason: str
    """Why, in a few words, for a line that people read: "zstd 3: 213 MB/s, limited by the link (31
    MB/s); zstd 1 208 MB/s"."""
    figures: Mapping[PageClass, Figure] = field(default_factory=dict)
    """What ``methods`` were expected to make of each class."""
    provisional: bool = False
    """Whether it was made before the link's rate was known: it may be replaced at once."""

    @property
    def plain(self) -> bool:
        """Whether nothing is compressed, of whatever class."""
        return all(one == NONE for one in self.methods.values())
