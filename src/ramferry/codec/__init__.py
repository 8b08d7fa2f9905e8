"""The multifd methods, bytes → bytes: one encoder or decoder per channel.

``base`` has the contract, ``table`` the methods, and each method has a file of its name.
"""

from __future__ import annotations

from ramferry.codec.base import MAX_PAYLOAD, Accelerated, Decoder, Encoder
from ramferry.codec.table import (
    METHODS,
    Method,
    check_choice,
    check_members,
    create_decoder,
    create_encoder,
    find_method,
    member_size_of,
    more_with_relay,
    name_backends,
)
from ramferry.vocabulary import PACKET_BYTES, Buffer

__all__ = [
    "MAX_PAYLOAD",
    "METHODS",
    "PACKET_BYTES",
    "Accelerated",
    "Buffer",
    "Decoder",
    "Encoder",
    "Method",
    "check_choice",
    "check_members",
    "create_decoder",
    "create_encoder",
    "find_method",
    "member_size_of",
    "more_with_relay",
    "name_backends",
]
