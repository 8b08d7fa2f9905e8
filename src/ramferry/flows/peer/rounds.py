"""The running digest of a migration's multifd channels, round by round."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Generic, TypeVar

import xxhash

from ramferry.errors import RemoteProtocolError
from ramferry.wire.digests import Sealer, SealReader

_CHANNEL = struct.Struct(">BQ")
_Chain = TypeVar("_Chain", Sealer, SealReader)


class Rounds(Generic[_Chain]):
    """The chains of one migration's channels in one direction."""

    def __init__(self, token: bytes, make: Callable[[bytes], _Chain]) -> None:
        """:param make: ``Sealer`` at the end that sends, ``SealReader`` at the other."""
        self._token = token
        self._make: Callable[[bytes], _Chain] = make
        self._chains: dict[int, _Chain] = {}

    def channel(self, id: int) -> _Chain:
        """Begin a channel's chain.

        :raise RemoteProtocolError: it has begun already.
        """
        if id in self._chains:
            raise RemoteProtocolError(
                "each channel id once", "this one twice", channel=f"multifd {id}"
            )
        chain: _Chain = self._make(self._token)
        self._chains[id] = chain
        return chain

    def digest(self, mark: int) -> bytes:
        """The digest, 16 bytes, of all that was sent on all channels before a mark; it can be asked
        for once, after every channel has sent or received the SYNC of that mark."""
        digest = xxhash.xxh3_128()
        for id, chain in sorted(self._chains.items()):
            digest.update(_CHANNEL.pack(id, chain.at(mark + 1)))
        return digest.digest()
