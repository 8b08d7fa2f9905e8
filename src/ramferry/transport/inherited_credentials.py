"""Credentials of one migration on their way to a relay: by a pipe that it inherits, in no file."""

from __future__ import annotations

import os
from typing import Final

import msgspec

from ramferry.errors import UsageError
from ramferry.transport.credentials import Credentials
from ramferry.transport.one_time import NAME
from ramferry.transport.security import Security
from ramferry.typed import decode

MOST_BYTES: Final = 1 << 16
"""Most bytes of them; 2 KB for one side."""
_WHERE: Final = "what --tls-creds-fd names"


def text(credentials: Credentials) -> bytes:
    """Credentials as a line of JSON, which ``inherited`` reads."""
    return msgspec.json.encode(credentials) + b"\n"


def inherited(fd: int) -> Security:
    """Read credentials that ``one_time.make`` made, up to the end of a pipe, which is closed.

    :raise UsageError: there is no such pipe, or something else comes by it.
    """
    try:
        with os.fdopen(fd, "rb") as pipe:
            content = pipe.read(MOST_BYTES + 1)
        if len(content) <= MOST_BYTES:
            return Security(decode(content, Credentials), name=NAME)
    except OSError as error:
        raise UsageError(f"{_WHERE} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        pass
    raise UsageError(f"{_WHERE} has no credentials of one migration")
