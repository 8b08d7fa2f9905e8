"""How many connections may wait before it is known what they are, and how long."""

from __future__ import annotations

from typing import Final

SILENCE: Final = 30.0
"""Seconds within which a connection must have said what it is. A 10.x source's main is silent only
until its last multifd channel is connected."""
MOST_OF_ONE: Final = 256
"""Most connections of one host, or process, that may wait here at once: a main and 255 channels. If
one more comes, the one that waited longest is closed."""
MOST_CALLERS: Final = 512
"""Most connections that may wait here in all."""
PROBE_GRACE: Final = 1.0
"""Seconds after which a connection without a single byte does not delay the first sync mark."""
BACK_OFF: Final = 0.5
"""Seconds until accepting is tried again after it failed for want of descriptors or memory."""
