"""Addresses that name a guest."""

from __future__ import annotations

from uuid import UUID

import pytest

from ramferry.errors import UsageError
from ramferry.transport.address import parse_address
from ramferry.transport.naming import address_of, check_names, names_guest

GUEST = UUID("7e3c5b1a-0000-4000-8000-00000000000a")


@pytest.mark.parametrize("scheme", ["unix:", "relay:unix:"])
def test_a_path_leads_each_guest_to_its_own_socket(scheme: str) -> None:
    named = parse_address(f"{scheme}/run/{{uuid}}/in.sock")
    assert names_guest(named)
    found = address_of(named, GUEST.bytes)
    assert str(found) == f"{scheme}/run/{GUEST}/in.sock"
    assert not names_guest(found)


@pytest.mark.parametrize("uri", ["unix:/run/in.sock", "tcp:host:1", "tls:host:1", "relay:host:1"])
def test_other_addresses_are_every_guests(uri: str) -> None:
    address = parse_address(uri)
    assert not names_guest(address)
    assert address_of(address, GUEST.bytes) == address
    check_names(address, address)


def test_a_path_that_is_too_long_with_a_uuid_is_refused_at_once() -> None:
    fits = parse_address("unix:/" + 70 * "x" + "{uuid}")
    check_names(parse_address("unix:/in"), fits)
    longer = parse_address("unix:/" + 71 * "x" + "{uuid}")
    with pytest.raises(UsageError, match="longer than 107 bytes"):
        check_names(parse_address("unix:/in"), longer)
