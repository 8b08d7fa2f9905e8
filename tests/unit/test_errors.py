"""Errors that get another text, and errors that another Ramferry told."""

from __future__ import annotations

import pytest

from ramferry.errors import (
    CorruptDataError,
    MigrationFailed,
    PeerTimeout,
    RamferryError,
    RemoteProtocolError,
    UsageError,
    of_exit_code,
)


@pytest.mark.parametrize("kind", RamferryError.__subclasses__())
def test_the_error_that_another_ramferry_told_is_of_its_class(kind: type[RamferryError]) -> None:
    told = of_exit_code(kind.exit_code, "so it was")
    assert type(told) is kind
    assert str(told) == "so it was"


def test_an_exit_code_that_no_class_has_is_a_failed_migration() -> None:
    assert type(of_exit_code(77, "odd")) is MigrationFailed


@pytest.mark.parametrize(
    "error",
    [
        PeerTimeout("silence"),
        UsageError("no"),
        RemoteProtocolError("a", "b", channel="main", packet=3),
        CorruptDataError("a", "b"),
        of_exit_code(7, "told"),
        RemoteProtocolError("a", "b").reworded("once"),
    ],
    ids=str,
)
def test_an_error_with_another_text_is_of_the_same_class(error: RamferryError) -> None:
    other = error.reworded(f"{error}; and more")
    assert type(other) is type(error)
    assert str(other) == f"{error}; and more"
    assert other is not error


def test_a_reworded_error_keeps_its_place() -> None:
    error = RemoteProtocolError("a", "b").at("multifd 1", 7).reworded("else")
    assert (error.channel, error.packet) == ("multifd 1", 7)


def test_a_told_error_can_be_placed_and_stays_as_it_was_told() -> None:
    told = of_exit_code(7, "so it was")
    assert isinstance(told, RemoteProtocolError)
    assert str(told.at("main", 1)) == "so it was"
