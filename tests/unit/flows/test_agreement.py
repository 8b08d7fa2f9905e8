"""What two hellos agree on, as a table; and what this side offers."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from ramferry import __version__
from ramferry.codec import METHODS
from ramferry.errors import MethodUnavailable, PeerUnreachable
from ramferry.flows.peer import agreement
from ramferry.flows.peer.agreement import agree, own_hello
from ramferry.flows.settings import RelaySettings
from ramferry.metrics.agreement import Agreement
from ramferry.transport.address import UnixAddress
from ramferry.wire.relay_messages import Features, Hello

ALL = Features(
    digests=("xxh3-128",),
    member_sizes=("64K", "packet"),
    method_per_packet=True,
    answers=True,
    streams=True,
    loads=True,
    order=True,
)
NEAR = Hello(
    ramferry="1", protocol=(1, 1), features=ALL, inflates={"qatzip": "software"}, method="qatzip"
)
FAR = Hello(
    ramferry="2", protocol=(1, 1), features=ALL, inflates={"qatzip": "software", "zstd": "software"}
)
BOTH = Agreement(
    *("2", 1, "xxh3-128", "packet"),
    method_per_packet=True,
    answers=True,
    streams=True,
    loads=True,
    order=True,
)


def but(hello: Hello, **other: object) -> Hello:
    """The same hello with other fields, or other features."""
    features = {name: other.pop(name) for name in Features.__struct_fields__ if name in other}
    changed = msgspec.structs.replace(hello.features, **features)
    return msgspec.structs.replace(hello, features=changed, **other)


@pytest.mark.parametrize(
    ("near", "far", "agreed"),
    [
        (NEAR, FAR, BOTH),
        (NEAR, but(FAR, digests=()), replace(BOTH, digest="")),
        (but(NEAR, digests=()), FAR, replace(BOTH, digest="")),
        (NEAR, but(FAR, digests=("sha-9", "xxh3-128")), BOTH),
        (NEAR, but(FAR, digests=("sha-9",)), replace(BOTH, digest="")),
        (NEAR, but(FAR, streams=False), replace(BOTH, streams=False)),
        (but(NEAR, streams=False), FAR, replace(BOTH, streams=False)),
        (NEAR, but(FAR, order=False), replace(BOTH, order=False)),
        (but(NEAR, order=False), FAR, replace(BOTH, order=False)),
        (NEAR, but(FAR, answers=False), replace(BOTH, answers=False)),
        (but(NEAR, answers=False), FAR, replace(BOTH, answers=False)),
        (NEAR, but(FAR, method_per_packet=False), replace(BOTH, method_per_packet=False)),
        (NEAR, but(FAR, member_sizes=("64K",)), replace(BOTH, member_size="64K")),
        # it is the receiver's members that count
        (but(NEAR, member_sizes=()), FAR, BOTH),
        (NEAR, but(FAR, inflates={"qatzip": "hardware"}), replace(BOTH, member_size="64K")),
        (NEAR, but(FAR, inflates={"qatzip": "magic"}), replace(BOTH, member_size="64K")),
        (but(NEAR, method="zstd"), FAR, BOTH),
        (but(NEAR, method=""), FAR, BOTH),
        (but(NEAR, protocol=(1, 7)), but(FAR, protocol=(1, 3)), replace(BOTH, protocol=3)),
        (but(NEAR, protocol=(2, 7)), but(FAR, protocol=(1, 2)), replace(BOTH, protocol=2)),
    ],
)
def test_what_both_have_is_agreed_alike_on_both_sides(
    near: Hello, far: Hello, agreed: Agreement
) -> None:
    assert agree(near, far, receives=far) == agreed
    assert agree(far, near, receives=far) == replace(agreed, far="1")


@pytest.mark.parametrize(
    ("near", "far", "sentence"),
    [
        (
            NEAR,
            but(FAR, protocol=(2, 3)),
            "Ramferry 2 there speaks version 2 to 3 of the relay protocol and Ramferry 1 here 1:"
            " install the same on both hosts",
        ),
        (
            but(NEAR, protocol=(4, 4)),
            but(FAR, protocol=(2, 3)),
            "Ramferry 2 there speaks version 2 to 3 of the relay protocol and Ramferry 1 here 4:"
            " install the same on both hosts",
        ),
        (
            NEAR,
            but(FAR, page_size=16384),
            "it carries guests with pages of 16384 bytes and this end of 4096: give both the same"
            " --page-size",
        ),
        (
            but(NEAR, method="zlib"),
            FAR,
            "the end that receives cannot inflate zlib, only qatzip, zstd: choose another --method,"
            " or install there what it lacks",
        ),
        (
            NEAR,
            but(FAR, inflates={}),
            "the end that receives cannot inflate qatzip, only nothing: choose another --method, or"
            " install there what it lacks",
        ),
    ],
)
def test_what_they_cannot_carry_together_is_said(near: Hello, far: Hello, sentence: str) -> None:
    with pytest.raises(MethodUnavailable) as caught:
        agree(near, far, receives=far)
    assert str(caught.value) == sentence


def test_one_that_refuses_cannot_be_reached() -> None:
    with pytest.raises(PeerUnreachable, match="it refuses: it is asleep"):
        agree(NEAR, but(FAR, refused="it is asleep"), receives=FAR)


def test_the_receiver_refuses_a_method_that_it_cannot_inflate_as_well() -> None:
    with pytest.raises(MethodUnavailable, match="cannot inflate zlib"):
        agree(FAR, but(NEAR, method="zlib"), receives=FAR)


SETTINGS = RelaySettings(UnixAddress("in"), UnixAddress("out"), "none")


def test_this_sides_hello() -> None:
    hello = own_hello(SETTINGS, "zstd")
    assert (hello.ramferry, hello.method, hello.refused) == (__version__, "zstd", "")
    assert hello.features == ALL
    assert set(hello.inflates) == set(METHODS)
    assert own_hello(SETTINGS, refused="busy").refused == "busy"
    assert not own_hello(SETTINGS, streams=False).features.streams


def test_the_connecting_side_names_the_migration() -> None:
    near = own_hello(SETTINGS, "zstd", migration="0123abcd")
    assert agree(near, FAR, receives=FAR).migration == "0123abcd"
    assert agree(FAR, near, receives=FAR).migration == "0123abcd"
    assert agree(NEAR, FAR, receives=FAR).migration == ""


def test_what_is_switched_off_is_not_offered() -> None:
    assert own_hello(replace(SETTINGS, verify=False)).features.digests == ()
    assert not own_hello(replace(SETTINGS, decide=0.0)).features.answers


@pytest.mark.parametrize(("may", "how"), [(True, "hardware"), (False, "software")])
def test_a_device_that_inflates_is_told(
    monkeypatch: pytest.MonkeyPatch, may: bool, how: str
) -> None:
    monkeypatch.setattr(agreement, "may_accelerate", lambda _: may)
    assert own_hello(SETTINGS).inflates["qatzip"] == how
