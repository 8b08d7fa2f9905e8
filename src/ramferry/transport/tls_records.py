"""How bytes are cut into TLS records."""

from __future__ import annotations

from collections.abc import Iterator

from ramferry.transport.tls_engine import RECORD
from ramferry.vocabulary import Buffer


def records(parts: list[Buffer]) -> Iterator[Buffer]:
    """The parts' bytes in pieces that make few and full records.

    A part that is smaller than a record is joined with the beginning of the next one. So a packet
    of a header and its payload costs a copy of 15 KB in place of a record and a system call.
    """
    head = bytearray()
    for part in parts:
        view = memoryview(part)
        if head or len(view) < RECORD:
            room = RECORD - len(head)
            head += view[:room]
            view = view[room:]
            if len(head) < RECORD:
                continue
            yield head
            head = bytearray()
        if len(view) < RECORD:
            head += view
        else:
            yield view
    if head:
        yield head
