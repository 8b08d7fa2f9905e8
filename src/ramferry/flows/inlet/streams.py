"""What a relay carries that is no migration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.flows.inlet.callers import MAIN_MAGIC, MULTIFD_MAGIC
from ramferry.wire.relay_opening import BEGAN_TLS, MAGIC, TLS_HANDSHAKE

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

    def refuses(self, first: bytes) -> str | None:
        """Why a connection that begins so is refused, as what follows "it" in a sentence; empty if
        it is carried, as main or as any stream, None if more has to come of it to tell.

        :param first: some bytes, at most four.
        """
        if first == MAIN_MAGIC:
            return ""
        if first.startswith(TLS_HANDSHAKE):
            return BEGAN_TLS
        if first == MAGIC:
            return "is a Ramferry that connects with relay:; listen at relay:HOST:PORT for it"
        return None if _may_be_known(first) else self._refuses_foreign(first)

    def _refuses_foreign(self, first: bytes) -> str | None:
        """As ``refuses``, of what is nothing that a relay can read."""
        visits = any(one.startswith(first) for one in _VISITORS)
        if len(first) < _TELLS and (visits or not self.carried):
            return None
        if not self.carried:
            return f"began with {first.hex()}, which is no migration channel"
        if visits:
            return (
                f"began with {first.hex()} as a web or SSH client does, which is carried with"
                " --any-stream only"
            )
        return ""


NO_STREAMS: Final = Streams()
"""They are refused."""


def _may_be_known(first: bytes) -> bool:
    """Whether a connection that begins so may turn out to be for a relay itself to read."""
    return any(magic.startswith(first) or first.startswith(magic) for magic in _KNOWN)
