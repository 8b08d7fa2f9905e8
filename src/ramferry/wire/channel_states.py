"""The states of a multifd channel's parser, and every transition between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, auto
from typing import Final


class ChannelState(IntEnum):
    """What the next bytes of a channel are."""

    INITIAL = auto()
    PREFIX = auto()
    """The first bytes of a packet, as many as the shortest header has."""
    RAM_HEADER = auto()
    """The rest of a RAM header."""
    PAYLOAD = auto()


class Seen(IntEnum):
    """What a completed piece turned out to be."""

    INITIAL = auto()
    RAM_PREFIX = auto()
    EMPTY = auto()
    """A RAM header without payload."""
    LOADED = auto()
    """A RAM header with payload."""
    DEVICE = auto()
    """A DEVICE_STATE header, which always has one."""
    PAYLOAD = auto()


TRANSITIONS: Final[Mapping[tuple[ChannelState, Seen], ChannelState]] = {
    (ChannelState.INITIAL, Seen.INITIAL): ChannelState.PREFIX,
    (ChannelState.PREFIX, Seen.RAM_PREFIX): ChannelState.RAM_HEADER,
    (ChannelState.PREFIX, Seen.EMPTY): ChannelState.PREFIX,
    (ChannelState.PREFIX, Seen.LOADED): ChannelState.PAYLOAD,
    (ChannelState.PREFIX, Seen.DEVICE): ChannelState.PAYLOAD,
    (ChannelState.RAM_HEADER, Seen.EMPTY): ChannelState.PREFIX,
    (ChannelState.RAM_HEADER, Seen.LOADED): ChannelState.PAYLOAD,
    (ChannelState.PAYLOAD, Seen.PAYLOAD): ChannelState.PREFIX,
}
"""Every transition there is; a pair that is not here cannot happen."""
