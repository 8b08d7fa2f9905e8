"""What ``ramferry bench run --shape`` takes."""

from __future__ import annotations

from typing import Final

AUTO, BY_TC, BY_RELAYS = "auto", "tc", "relay"
SHAPES: Final = (AUTO, BY_TC, BY_RELAYS)
