"""Any bytes, split anywhere, give the same messages or the same error of the return path."""

from __future__ import annotations

import re
import struct

from hypothesis import given
from hypothesis import strategies as st

from ramferry.errors import RemoteProtocolError
from ramferry.wire.return_path import LENGTHS, Pong, ReturnPathParser, RpEvent, Shut, pong, shut
from wire_streams import pieces

SENTENCE = re.compile(r"return path: expected .+, received .+ \(up to byte \d+\)")
CUTS = st.lists(st.integers(0, 200), max_size=6)
MESSAGES = st.builds(
    lambda kind, length, data: struct.pack(">HH", kind, length) + data,
    st.sampled_from(sorted(LENGTHS)) | st.integers(0, 9),
    st.sampled_from([0, 2, 4, 12, 14, 600]),
    st.binary(max_size=30),
)


def fed(data: bytes, cuts: list[int]) -> tuple[list[RpEvent], str]:
    parser = ReturnPathParser()
    events: list[RpEvent] = []
    try:
        for piece in pieces(data, [cut for cut in cuts if cut <= len(data)]):
            events += parser.feed(piece)
    except RemoteProtocolError as error:
        return events, str(error)
    return events, ""


@given(st.binary(max_size=100) | st.lists(MESSAGES, max_size=5).map(b"".join), CUTS)
def test_any_bytes(data: bytes, cuts: list[int]) -> None:
    single, error = fed(data, list(range(len(data))))
    assert not error or SENTENCE.fullmatch(error)
    for other_cuts in (cuts, []):
        other, other_error = fed(data, other_cuts)
        assert other_error == error
        assert other == single[: len(other)] if error else other == single


@given(st.lists(st.integers(0, 2**32 - 1), max_size=10), st.integers(0, 2**32 - 1), CUTS)
def test_what_we_write_is_read_back(values: list[int], error: int, cuts: list[int]) -> None:
    data = b"".join(map(pong, values)) + shut(error)
    events, failure = fed(data, cuts)
    assert not failure
    assert [event.value for event in events if isinstance(event, Pong)] == values
    assert events[-1] == Shut(8 * len(values), 8 * len(values) + 8, error)
