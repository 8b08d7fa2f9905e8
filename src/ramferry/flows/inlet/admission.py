"""Who is let in, beyond one migration after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.flows.inlet.streams import NO_STREAMS, Streams


@dataclass(frozen=True, slots=True)
class Admission:
    """What may come to a relay or receiver."""

    limit: int = 1
    """Most migrations under way at a time."""
    more: str = ""
    """What helps if there would be more; for a note."""
    streams: Streams = NO_STREAMS
    """What is carried that is no migration."""

    @property
    def several(self) -> bool:
        """Whether more than one migration may be under way."""
        return self.limit > 1


ONE_BY_ONE: Final = Admission()
