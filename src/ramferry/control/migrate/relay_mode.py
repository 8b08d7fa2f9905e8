"""The choices of ``--relay``, in a module of their own so that the command line loads nothing
else."""

from __future__ import annotations

from enum import StrEnum


class RelayMode(StrEnum):
    """The values of ``--relay``: where relays are put."""

    AUTO = "auto"
    BOTH = "both"
    SOURCE = "source"
    NONE = "none"
