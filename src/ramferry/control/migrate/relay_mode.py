"""Where relays stand: a choice of the command line, apart from what it leads to."""

from __future__ import annotations

from enum import StrEnum


class RelayMode(StrEnum):
    """``--relay``: where relays stand."""

    AUTO = "auto"
    BOTH = "both"
    SOURCE = "source"
    NONE = "none"
