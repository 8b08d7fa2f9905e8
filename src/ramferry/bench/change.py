"""What changes on a host or its link while a guest moves. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ramferry.units import bit_rate


@dataclass(frozen=True, slots=True)
class Change:
    """One change: the link has another rate for a while, or other work takes cores."""

    begin: float
    """Seconds from a migration's begin on."""
    end: float | None
    """When it is over; None if it stays until the migration's end."""
    rate: float = 0.0
    """Of the link meanwhile, in bytes a second; 0 if it stays as it is."""
    cores: int = 0
    """Taken by other work meanwhile."""

    def words(self, usual: float) -> str:
        """As a sentence without its end.

        :param usual: the link's rate before and after, in bytes a second.
        """
        until = "on" if self.end is None else f"to {self.end:g} s"
        when = f"from {self.begin:g} s {until}"
        if self.rate:
            return f"the link carries {bit_rate(self.rate)} in place of {bit_rate(usual)} {when}"
        return f"other work takes {self.cores} core{'s' * (self.cores > 1)} {when}"
