"""Credentials that come by a pipe: those that were sent, or a sentence."""

from __future__ import annotations

import os

import pytest

from ramferry.errors import UsageError
from ramferry.transport.inherited_credentials import MOST_BYTES, inherited, text
from ramferry.transport.one_time import NAME, make


def sent(content: bytes) -> int:
    reading, writing = os.pipe()
    with open(writing, "wb") as pipe:
        pipe.write(content)
    return reading


def test_what_was_sent_is_read() -> None:
    made = make()
    for credentials in (made.listens, made.connects):
        security = inherited(sent(text(credentials)))
        assert (security.credentials, security.name) == (credentials, NAME)
        assert not security.insecure


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"authority":"\xff"}', b"[" * 5000, b'{"authority":7}', b" " * (MOST_BYTES - 9)],
)
def test_anything_else_is_a_sentence(content: bytes) -> None:
    with pytest.raises(UsageError, match="has no credentials of one migration"):
        inherited(sent(content))


def test_no_pipe() -> None:
    with pytest.raises(UsageError, match="cannot be read: Bad file descriptor"):
        inherited(12345)
