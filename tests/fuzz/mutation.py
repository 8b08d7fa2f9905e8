"""Changes to valid inputs: bits, numbers at any place, lengths, pieces gone, doubled or spliced."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Final

from fuzz.target import Target

_NUMBERS: Final = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 1023, 4096, 65535, 65536)
_LARGE: Final = (
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**44,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64 - 4096,
)
_FORMS: Final = (">B", ">H", "<H", ">I", "<I", ">Q", "<Q")


def changed(target: Target, data: bytes, chance: random.Random) -> bytes:
    """Change an input once or a few times."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        if target.change is not None and chance.random() < 0.4:
            own = target.change(data, chance)
            data = data if own is None else own
        else:
            data = _once(data, target, chance)
    return data[: target.longest]


def trial(target: Target, seed: int, number: int) -> bytes:
    """The input of one trial: the same for the same corpus, seed and number."""
    chance = random.Random(f"{target.name}/{seed}/{number}")
    return changed(target, chance.choice(target.corpus), chance)


def _once(data: bytes, target: Target, chance: random.Random) -> bytes:
    raw = bytearray(data)
    at = chance.randrange(len(raw) + 1)
    match chance.randrange(11):
        case 0 | 1 if raw:
            raw[at % len(raw)] ^= 1 << chance.randrange(8)
        case 2 if raw:
            raw[at % len(raw)] = chance.randrange(256)
        case 3 | 4:
            _number(raw, at, chance)
        case 5:
            del raw[at : at + chance.choice((1, 2, 4, 8, chance.randrange(1, 64)))]
        case 6:
            raw[at:at] = chance.randbytes(chance.choice((1, 2, 4, 8, chance.randrange(1, 64))))
        case 7:
            size = chance.randrange(1, 257)
            raw[at:at] = raw[at : at + size] * chance.choice((1, 1, 2, 17))
        case 8:
            del raw[at:]
        case 9 if target.tokens:
            word = chance.choice(target.tokens)
            raw[at : at + chance.choice((0, len(word)))] = word
        case _:
            return _spliced(data, target.corpus, chance)
    return bytes(raw)


def _number(raw: bytearray, at: int, chance: random.Random) -> None:
    """Overwrite a number of any width and order: by one of note, or by one that is off by a
    little."""
    form = chance.choice(_FORMS)
    size = struct.calcsize(form)
    if len(raw) < size:
        return
    at = min(at, len(raw) - size)
    most = 1 << 8 * size
    if chance.random() < 0.4:
        value = struct.unpack_from(form, raw, at)[0] + chance.choice((-8, -1, 1, 8, 4096))
    else:
        value = chance.choice(_NUMBERS + _LARGE)
    struct.pack_into(form, raw, at, value % most)


def _spliced(data: bytes, corpus: Sequence[bytes], chance: random.Random) -> bytes:
    """The beginning of one input and the end of another."""
    other = chance.choice(corpus)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]
