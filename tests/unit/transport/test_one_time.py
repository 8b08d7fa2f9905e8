"""Certificates for one migration."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest

from connecting import SETTLE, one_accepted, taken
from ramferry.errors import PeerUnreachable
from ramferry.transport.address import parse_address
from ramferry.transport.credentials import check
from ramferry.transport.dialing import connect
from ramferry.transport.listening import Listener
from ramferry.transport.one_time import NAME, SKEW, VALID, make
from ramferry.transport.security import Security


def test_both_sides_know_each_other_by_whichever_address() -> None:
    made = make()
    listens, connects = Security(made.listens, name=NAME), Security(made.connects, name=NAME)
    with (
        Listener(parse_address("relay:127.0.0.1:0"), security=listens) as listener,
        contextlib.closing(connect(listener.address, connects)) as near,
        contextlib.closing(one_accepted(listener).connection) as far,
    ):
        for end in (near, far):
            end.settle(SETTLE)
        near.send([b"once"])
        assert taken(far, 4) == b"once"


def test_nobody_else_is_known() -> None:
    notes: list[str] = []
    one, other = make(), make()
    with Listener(
        parse_address("relay:127.0.0.1:0"),
        security=Security(one.listens, name=NAME),
        note=notes.append,
    ) as listener:
        with pytest.raises(PeerUnreachable, match="its certificate is from another authority"):
            connect(listener.address, Security(other.connects, name=NAME))
        with pytest.raises(PeerUnreachable, match=r"for another name than 127\.0\.0\.1"):
            connect(listener.address, Security(one.connects))


def test_its_files_are_whole_and_their_keys_are_not_shown() -> None:
    made = make()
    for side, pair in ((made.listens, made.listens.server), (made.connects, made.connects.client)):
        assert pair is not None
        check(pair, "the certificate", "the key")
        assert "PRIVATE" not in repr(side)
    assert made.listens.client is made.connects.server is None


def test_clocks_may_differ() -> None:
    from cryptography import x509

    made = make()
    assert made.connects.client is not None
    for pem in (made.listens.authority, made.connects.client.certificate):
        certificate = x509.load_pem_x509_certificate(pem)
        now = datetime.now(UTC)
        assert certificate.not_valid_before_utc <= now - SKEW
        assert now + VALID < certificate.not_valid_after_utc <= now + VALID + SKEW
