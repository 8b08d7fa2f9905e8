"""Errors that are worded anew keep what they are."""

from __future__ import annotations

import pytest

from ramferry.errors import CorruptDataError, HostError, RamferryError, RemoteProtocolError


@pytest.mark.parametrize(
    "error",
    [
        HostError("first"),
        RemoteProtocolError("this", "that", channel="main", packet=3),
        CorruptDataError("this", "that").at("multifd 1", 2),
    ],
)
def test_worded_anew_and_anew_again(error: RamferryError) -> None:
    second = error.reworded("second")
    third = second.reworded("third")
    assert (str(second), str(third)) == ("second", "third")
    assert type(third) is type(error)
    assert third.exit_code == error.exit_code
    assert vars(third) == vars(error)
    assert str(error) not in ("second", "third")
