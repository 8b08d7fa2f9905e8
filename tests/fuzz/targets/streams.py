"""A tunnel's pieces: as a peer may send them, and as one that knows how to seal nonsense does."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from functools import cache
from typing import Final

from fuzz.target import Target
from fuzz.targets.relay import TOKEN, _Given
from ramferry.codec import create_decoder, create_encoder
from ramferry.errors import RemoteProtocolError
from ramferry.flows.peer.stream_decoding import PieceReceiver
from ramferry.vocabulary import METHOD_FLAGS
from ramferry.wire.relay_packing import Gathered, PagesAt
from ramferry.wire.relay_stream import (
    HEAD_SIZE,
    RUN,
    Direction,
    PieceHead,
    PieceKind,
    Seal,
    padded,
)

_PAGE: Final = 1024
_SEAL: Final = Seal(TOKEN, Direction.ONWARD, payloads=True)
_FIELDS: Final = struct.Struct(">QIIHHBBxxQQ")


def _piece(number: int, piece: Gathered, method: str) -> bytes:
    content = piece.plain() if method == "none" else piece.content()
    encoder = create_encoder(method, None, page_size=_PAGE)
    payload = b"".join(encoder.encode(content))
    pages, runs = (piece.pages, piece.runs) if method != "none" else (0, 0)
    return _sealed(number, piece.size, pages, runs, method, bytes(content), payload)


def _sealed(
    number: int, size: int, pages: int, runs: int, method: str, content: bytes, payload: bytes
) -> bytes:
    told = _SEAL.digest(number, payload) if method != "none" else 0
    head = PieceHead(
        number,
        size,
        len(payload),
        method,
        pages,
        runs,
        PieceKind.DATA,
        _SEAL.digest(number, content),
        told,
    )
    return _SEAL.encode(head) + payload


@cache
def _stream() -> tuple[bytes, bytes]:
    """Pieces of every method on one connection, and what is in them."""
    chance, raw, content = random.Random(7), b"", b""
    for number, method in enumerate((*METHOD_FLAGS, "none", "zstd")):
        piece, rest = Gathered(_PAGE, packs=method != "none"), chance.randbytes(70)
        data = b"".join(bytes(8) + chance.randbytes(64) * (_PAGE // 64) for _ in range(3))
        for part in (rest, data[:8]):
            piece.add(part)
        piece.add_pages(memoryview(data), PagesAt(8, 3, _PAGE + 8))
        raw += _piece(number, piece, method)
        content += rest + data
    return raw + _SEAL.encode(PieceHead(number + 1, 0, 0, kind=PieceKind.END)), content


def _read(data: bytes) -> Iterator[tuple[PieceHead, bytes]]:
    receiver = PieceReceiver(
        _Given(data),  # type: ignore[arg-type]
        _SEAL,
        _PAGE,
        lambda method: create_decoder(method, page_size=_PAGE),
        None,
    )
    while (head := receiver.head()) is not None:
        yield head, b"".join(receiver.piece(head).parts)
    if receiver.total is None:
        raise ConnectionResetError


def check_stream(data: bytes) -> bool:
    """Nothing comes out but what was sent at that place; ``stream_in`` judges the numbers."""
    came = {}
    try:
        for head, part in _read(data):
            came[head.number] = part
    except (RemoteProtocolError, ConnectionResetError):
        pass
    whole = {head.number: part for head, part in _read(_stream()[0])}
    assert all(whole.get(number) == part for number, part in came.items()), "other bytes"
    return came == whole


def check_sealed(data: bytes) -> bool:
    """A piece whose digests are right, whatever else is wrong, is whole or refused."""
    try:
        for head, part in _read(data):
            assert len(part) == head.size
    except (RemoteProtocolError, ConnectionResetError):
        return False
    return True


def change_sealed(data: bytes, chance: random.Random) -> bytes | None:
    """Change a field of a head, or put in a packed piece with other runs, and seal it again."""
    if len(data) < HEAD_SIZE:
        return None
    if chance.random() < 0.5:
        return _with_runs(chance)
    fields = list(_FIELDS.unpack_from(data))
    at = chance.randrange(len(fields))
    fields[at] = chance.choice((0, 1, 2, 8, 255, fields[at] + 1)) & (1 << 8) - 1
    raw = _FIELDS.pack(*fields)
    digest = _SEAL.digest(fields[0], raw).to_bytes(8, "big")
    return raw + digest + data[HEAD_SIZE:]


def _with_runs(chance: random.Random) -> bytes:
    pages, rest = chance.randrange(5), chance.randrange(60)
    runs = [
        (chance.randrange(40), chance.randrange(5), chance.choice((0, 1, 8, 65535)))
        for _ in range(chance.randrange(4))
    ]
    size = pages * _PAGE + rest
    content = chance.randbytes(size) + b"".join(RUN.pack(*run) for run in runs)
    content += bytes(padded(len(content), _PAGE) - len(content))
    payload = b"".join(create_encoder("zstd", 1).encode(memoryview(content))) if content else b""
    end = _SEAL.encode(PieceHead(1, 0, 0, kind=PieceKind.END))
    return _sealed(0, size, pages, len(runs), "zstd", content, payload) + end


@cache
def targets() -> list[Target]:
    """Both."""
    return [
        Target("relay-stream", check_stream, lambda: [_stream()[0]], trials=60),
        Target("relay-piece", check_sealed, lambda: [_stream()[0]], (), change_sealed, trials=100),
    ]
