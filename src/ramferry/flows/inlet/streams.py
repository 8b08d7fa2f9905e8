"""What a relay carries that is no migration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.flows.inlet.callers import MAIN_MAGIC, MULTIFD_MAGIC
from ramferry.wire.relay_opening import MAGIC, TLS_HANDSHAKE

_KNOWN: Final = (MAIN_MAGIC, MULTIFD_MAGIC, TLS_HANDSHAKE, MAGIC)
"""What a connection begins with that is for a relay itself to read."""
_VISITORS: Final = (b"SSH-", b"GET ", b"HEAD", b"OPTI")
"""What looks for a service of its own at every port begins so: it would end a QEMU that waits."""
_TELLS: Final = 4
"""Bytes that tell what a connection is."""


@dataclass(frozen=True, slots=True)
class Streams:
    """What is done with connections that begin as no migration does."""

    carried: bool = False
    """Whether they are carried as bytes, which takes a Ramferry at the far end."""
    at_once: bool = False
    """Whether every connection is carried so, from its first moment on, whatever it says."""

    def knows(self, first: bytes, *, vouched: bool) -> bool:
        """Whether enough has come of such a connection to judge it.

        :param vouched: whether it comes from another Ramferry, which has judged it already.
        """
        if len(first) >= _TELLS or vouched:
            return True
        return self.carried and not any(one.startswith(first) for one in _VISITORS)

    def refuses(self, first: bytes, *, vouched: bool) -> str:
        """Why it is not carried, as what follows "it" in a sentence; empty if it is."""
        if not self.carried:
            return f"began with {first.hex()}, which is no migration channel"
        if first[:_TELLS] in _VISITORS and not vouched:
            return (
                f"began with {first.hex()} as a web or SSH client does, which is carried with"
                " --any-stream only"
            )
        return ""


NO_STREAMS: Final = Streams()
"""They are refused."""


def is_foreign(first: bytes) -> bool:
    """Whether a connection that begins so, with some bytes at least, is nothing that a relay can
    read."""
    return not any(magic.startswith(first) or first.startswith(magic) for magic in _KNOWN)
