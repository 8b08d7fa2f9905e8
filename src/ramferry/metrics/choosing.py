"""What a policy chose in one migration, as people and programs are told."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ChoiceEntry:
    """One choice, with the figures that it was made by. Candidates are named as in "zstd 3"."""

    seconds: float
    """Since the migration's first byte."""
    methods: dict[str, str]
    """The candidate for each class of pages."""
    rate: float
    """Expected bytes of pages a second."""
    limited_by: str
    """What limits that: "link", "near cores", "far cores", "device" or "source"."""
    runner_up: dict[str, str]
    runner_up_rate: float
    link: float
    """Wire bytes a second that the link carries, or, unless ``link_known``, at least carries."""
    link_known: bool
    near_cores: float
    """Cores that the end which compresses may have."""
    far_cores: float
    """Those of the end which inflates; 0 where that is a QEMU, which does not tell them."""


@dataclass(frozen=True, slots=True)
class Choosing:
    """All that was chosen."""

    page_bytes: dict[str, int]
    """Bytes of pages that each candidate was given; what it did not shrink went as it was, or, in
    a stream of one method, stored in that method's form, as all that "none" was given."""
    wire_bytes: dict[str, int]
    """Bytes of payload of each method, as packets' flags name it."""
    changes: int
    """How often the choice changed."""
    trials: int
    trial_seconds: float
    """Core seconds of trials, which are part of the relay's."""
    policy_seconds: float
    """The same of measuring and deciding."""
    timeline: tuple[ChoiceEntry, ...] = field(default=())
    """The choices, those that lasted longest first to stay if there are many."""

    @property
    def shares(self) -> dict[str, float]:
        """Each candidate's share of the bytes of pages, the largest first."""
        total = sum(self.page_bytes.values())
        ranked = sorted(self.page_bytes.items(), key=lambda item: -item[1])
        return {name: size / total for name, size in ranked if size} if total else {}
