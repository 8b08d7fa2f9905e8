"""Where a migration goes whose destination's address names the guest."""

from __future__ import annotations

import threading
from uuid import UUID

import pytest

from ramferry.errors import MigrationFailed
from ramferry.flows.outlet.whereabouts import Whereabouts
from ramferry.flows.session.session import Session
from ramferry.flows.settings import RelaySettings
from ramferry.patience import Patience
from ramferry.transport.address import UnixAddress

GUEST = UUID("6ec5b9ba-6d4a-4f0e-9b6e-5e0a1b7f3c55")
NAMED = UnixAddress("/guests/{uuid}.sock")


def session() -> Session:
    return Session(RelaySettings(UnixAddress("in"), NAMED, "zlib"), lambda _: None)


def test_the_first_channel_names_it() -> None:
    where = Whereabouts(session(), NAMED)
    found = threading.Thread(target=where.find)
    found.start()
    where.guest(GUEST.bytes)
    found.join(20)
    assert where.address == UnixAddress(f"/guests/{GUEST}.sock")


def test_an_address_without_a_name_is_known_at_once() -> None:
    where = Whereabouts(session(), UnixAddress("/one.sock"))
    where.find()
    assert where.address == UnixAddress("/one.sock")


def test_a_plain_stream_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its guest would stand still for as long as channels were waited for."""
    monkeypatch.setattr("ramferry.flows.outlet.whereabouts._FIRST_CHANNEL", 3600.0)
    carried, patience = session(), Patience(60.0)
    carried.plain.choose()
    with pytest.raises(MigrationFailed, match="a plain stream has none: set the multifd"):
        Whereabouts(carried, NAMED).find()
    assert not patience.over
