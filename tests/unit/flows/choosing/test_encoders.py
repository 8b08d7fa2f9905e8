"""Encoders of one channel: made as they are needed, few of them, and any after any other."""

from __future__ import annotations

import random

import pytest

from ramferry.codec import create_decoder
from ramferry.flows.choosing.encoders import Encoders
from ramferry.policy.candidates import candidates
from ramferry.policy.measurements import Candidate
from ramferry.vocabulary import AUTO, ONE_MEMBER

LIGHT = [one for one in candidates(device=False) if one.level <= 9]


def pages(seed: int) -> memoryview:
    chance = random.Random(seed)
    words = [chance.randbytes(6) for _ in range(50)]
    return memoryview(b"".join(chance.choices(words, k=8192))[: 8 * 4096])


def test_packets_of_any_candidates_in_any_order_are_what_decoders_take() -> None:
    encoders = Encoders(4096, AUTO, ONE_MEMBER)
    decoders = {method: create_decoder(method) for method in ("none", "zstd", "qatzip")}
    chance = random.Random(3)
    for at in range(60):
        candidate = chance.choice(LIGHT)
        data, out = pages(at), memoryview(bytearray(8 * 4096))
        payload = b"".join(encoders.of(candidate).encode(data))
        decoders[candidate.method].decode(memoryview(payload), out)
        assert out == data, candidate


def test_a_higher_level_of_zstd_makes_less() -> None:
    encoders = Encoders(4096, AUTO, AUTO)
    sizes = [
        sum(map(len, encoders.of(Candidate("zstd", level)).encode(pages(1))))
        for level in (-7, 1, 9, -7)
    ]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[3] == sizes[0]


@pytest.mark.parametrize("method", ["zstd", "qatzip"])
def test_few_encoders_are_kept(method: str) -> None:
    encoders = Encoders(4096, AUTO, AUTO)
    made = {id(encoders.of(Candidate(method, level))) for level in range(1, 10)}
    again = encoders.of(Candidate(method, 9))
    assert id(again) in made
    kept = len(encoders._made) + len(encoders._zstd)  # type: ignore[attr-defined]
    assert kept <= 4
