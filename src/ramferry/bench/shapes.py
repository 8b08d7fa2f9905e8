"""Words that options of ``ramferry bench`` take."""

from __future__ import annotations

from typing import Final

AUTO, BY_TC, BY_RELAYS = "auto", "tc", "relay"
SHAPES: Final = (AUTO, BY_TC, BY_RELAYS)
"""What ``ramferry bench run --shape`` takes."""

LINK, CONTENT, LOAD = "link", "content", "load"
CHANGES: Final = (LINK, CONTENT, LOAD)
"""What ``ramferry bench links --change`` takes."""
