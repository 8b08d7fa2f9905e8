"""The frames of main between two Ramferrys."""

from __future__ import annotations

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ramferry.errors import RemoteProtocolError
from ramferry.wire.relay_frames import HEAD_SIZE, MARK, MOST, FrameKind, FrameReader, FrameWriter

STREAM = [
    (FrameKind.DATA, b"QEVM", "00000004 00000000 141c7474fd27e570"),
    (FrameKind.MARK, MARK.pack(0, bytes(16)), "00000018 00000001 00012273b9065b5b"),
    (FrameKind.END, b"", "00000000 00000002 f36cf7ecd1fcfda0"),
]


def test_frames_as_bytes_both_ways() -> None:
    writer, reader = FrameWriter(), FrameReader()
    for number, (kind, data, head) in enumerate(STREAM):
        raw = bytes.fromhex(head)
        assert writer.head(kind, data) == raw
        assert xxhash.xxh3_64_digest(data, number) == raw[8:]
        reader.open(raw)
        assert (reader.kind, reader.size) == (kind, len(data))
        reader.check(data)


def read(frames: list[bytearray]) -> None:
    reader = FrameReader()
    for frame in frames:
        reader.open(frame[:HEAD_SIZE])
        reader.check(frame[HEAD_SIZE:])


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=6), st.data())
def test_a_frame_that_is_changed_missing_doubled_or_moved_is_seen(
    parts: list[bytes], data: st.DataObject
) -> None:
    writer = FrameWriter()
    frames = [bytearray(writer.head(FrameKind.DATA, part) + part) for part in parts]
    what = data.draw(st.sampled_from(["flip", "drop", "double", "swap"]))
    at = data.draw(st.integers(0, len(frames) - 2))
    if what == "flip":
        frames[at][data.draw(st.integers(8, len(frames[at]) - 1))] ^= 1 << data.draw(
            st.integers(0, 7)
        )
    elif what == "drop":
        del frames[at]
    elif what == "double":
        frames.insert(at, frames[at])
    elif frames[at] == frames[at + 1]:
        return
    else:
        frames[at], frames[at + 1] = frames[at + 1], frames[at]
    with pytest.raises(RemoteProtocolError, match=f"frame {at + (what == 'double')} as it was"):
        read(frames)


@pytest.mark.parametrize(
    ("size", "kind"), [(0, 0), (MOST + 1, 0), (23, 1), (0, 1), (1, 2), (4, 3), (1 << 31, 0)]
)
def test_a_head_out_of_bounds_is_refused(size: int, kind: int) -> None:
    head = size.to_bytes(4, "big") + kind.to_bytes(4, "big") + bytes(8)
    with pytest.raises(RemoteProtocolError, match="frame 0 as it was sent"):
        FrameReader().open(head)
