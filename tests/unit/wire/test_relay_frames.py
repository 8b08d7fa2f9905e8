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
    (FrameKind.MARK, MARK.pack(0, bytes(16), 2), "0000001a 00000001 d506463a3644d674"),
    (FrameKind.END, b"", "00000000 00000002 fdabae411772c1a0"),
]


def test_frames_as_bytes_both_ways() -> None:
    writer, reader = FrameWriter(), FrameReader()
    for number, (kind, data, head) in enumerate(STREAM):
        raw = bytes.fromhex(head)
        assert writer.head(kind, data) == raw
        assert xxhash.xxh3_64_digest(data, number << 8 | kind) == raw[8:]
        reader.open(raw)
        assert (reader.kind, reader.size) == (kind, len(data))
        reader.check(data)


def read(frames: list[bytearray]) -> None:
    reader, stream = FrameReader(), b"".join(frames)
    while stream:
        reader.open(stream[:HEAD_SIZE].ljust(HEAD_SIZE, b"\0"))
        end = HEAD_SIZE + reader.size
        reader.check(stream[HEAD_SIZE:end])
        stream = stream[end:]


PARTS = st.one_of(
    st.binary(min_size=1, max_size=40), st.binary(min_size=MARK.size, max_size=MARK.size)
)


@given(st.lists(PARTS, min_size=2, max_size=6), st.data())
def test_a_frame_that_is_changed_missing_doubled_or_moved_is_seen(
    parts: list[bytes], data: st.DataObject
) -> None:
    writer = FrameWriter()
    kinds = [FrameKind.MARK if len(part) == MARK.size else FrameKind.DATA for part in parts]
    kinds = [data.draw(st.sampled_from([kind, FrameKind.DATA])) for kind in kinds]
    made = zip(kinds, parts, strict=True)
    frames = [bytearray(writer.head(kind, part) + part) for kind, part in made]
    what = data.draw(st.sampled_from(["flip", "drop", "double", "swap"]))
    at = data.draw(st.integers(0, len(frames) - 2))
    if what == "flip":
        frames[at][data.draw(st.integers(0, len(frames[at]) - 1))] ^= 1 << data.draw(
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
    ("size", "kind"),
    [(0, 0), (MOST + 1, 0), (25, 1), (27, 1), (0, 1), (1, 2), (4, 3), (1 << 31, 0)],
)
def test_a_head_out_of_bounds_is_refused(size: int, kind: int) -> None:
    head = size.to_bytes(4, "big") + kind.to_bytes(4, "big") + bytes(8)
    with pytest.raises(RemoteProtocolError, match="frame 0 as it was sent"):
        FrameReader().open(head)


def test_a_mark_that_became_data_is_seen_and_data_that_became_a_mark() -> None:
    """Found by fuzzing: one flipped bit put a mark's 24 bytes into main, or took 24 out of it."""
    for kind, other in ((FrameKind.MARK, FrameKind.DATA), (FrameKind.DATA, FrameKind.MARK)):
        frame = bytearray(FrameWriter().head(kind, bytes(MARK.size)) + bytes(MARK.size))
        frame[7] = other
        with pytest.raises(RemoteProtocolError, match="frame 0 as it was sent, received another"):
            read([frame])
