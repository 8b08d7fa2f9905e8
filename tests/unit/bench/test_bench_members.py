"""Which members qatzip's packets have in benchmarks."""

from __future__ import annotations

import pytest

from ramferry.bench.members import members_of
from ramferry.codec import create_encoder, member_size_of
from ramferry.vocabulary import MEMBER_SIZES, METHOD_FLAGS, OFF


@pytest.mark.parametrize(("wanted", "told"), [("auto", "packet"), ("64K", "64K")])
def test_qatzip_has_one_member_a_packet_unless_another_size_is_wanted(
    wanted: str, told: str
) -> None:
    assert members_of("qatzip", wanted) == told


def test_an_encoder_takes_what_it_is_told_whatever_the_method() -> None:
    for method in METHOD_FLAGS:
        for wanted in MEMBER_SIZES:
            told = members_of(method, wanted)
            encoder = create_encoder(method, None, accelerator=OFF, member_size=told)
            assert (member_size_of([encoder]) is None) == (method != "qatzip")
